"""Importance against waiting, at a fixed rate."""

import pytest

from kvring_node.engine.strategies import priority
from kvring_node.messages import SamplingParams
from kvring_node.sequence import Sequence

AGE = priority.AGEING_S


def sequence(level: int, arrived_at: float, arrival: int) -> Sequence:
    return Sequence(
        str(arrival),
        [1],
        1,
        SamplingParams(),
        10,
        frozenset(),
        0,
        priority=level,
        arrived_at=arrived_at,
        arrival=arrival,
    )


@pytest.mark.parametrize(
    ("sentence", "levels_and_moments", "expected"),
    [
        ("lower numbers go first", [(2, 0), (0, 0), (-1, 0)], "210"),
        ("of equals the earlier", [(1, 0), (1, 1)], "01"),
        ("a level is worth some seconds of waiting, and not more", [(1, 0), (0, AGE + 1)], "01"),
        ("nor less", [(1, 0), (0, AGE - 1)], "10"),
        ("two levels are worth twice as much", [(2, 0), (0, 2 * AGE - 1), (0, 2 * AGE + 1)], "102"),
        ("what is beyond the scale counts as its end", [(2**31 - 1, 0), (priority.MOST_LEVELS, 1)], "01"),
        ("at the other end, too", [(-priority.MOST_LEVELS, 0), (-(2**31), 1)], "01"),
    ],
)
def test_order(sentence: str, levels_and_moments: list[tuple[int, float]], expected: str) -> None:
    line = priority.make(lambda: 0.0)
    for number, (level, arrived_at) in enumerate(levels_and_moments):
        line.push(sequence(level, arrived_at, number))
    order = ""
    while (first := line.peek()) is not None:
        line.admit(first)
        order += first.request_id
    assert order == expected, sentence


def test_the_least_important_loses_its_pages_and_of_equals_the_latest() -> None:
    line = priority.make(lambda: 0.0)
    important, first, last = sequence(0, 2.0, 2), sequence(1, 0.0, 0), sequence(1, 1.0, 1)
    assert line.victim([last, first, important]) is last
    assert line.victim([first, important]) is first
