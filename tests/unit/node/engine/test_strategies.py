"""What every scheduling strategy promises: the Protocol `Strategy`, held by whoever is in the registry."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvring_node.engine.ports import Strategy
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import SamplingParams
from kvring_node.sequence import Sequence

Make = Callable[[Callable[[], float]], Strategy]
EACH = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())


def sequence(name: str) -> Sequence:
    return Sequence(name, [1, 2, 3], 3, SamplingParams(), 100, frozenset(), 0)


def served(line: Strategy) -> list[str]:
    """Names in the order of admission, until nobody waits."""
    order = []
    while (first := line.peek()) is not None:
        line.remove(first)
        order.append(first.request_id)
    return order


@EACH
def test_an_empty_line_has_no_next(make: Make) -> None:
    assert (make(lambda: 0.0).peek(), len(make(lambda: 0.0))) == (None, 0)


@EACH
def test_looking_changes_nothing(make: Make) -> None:
    line = make(lambda: 0.0)
    line.push(sequence("a"))
    line.push(sequence("b"))

    assert line.peek() is line.peek()
    assert len(line) == 2


@EACH
def test_who_lost_its_pages_goes_before_all_that_never_ran(make: Make) -> None:
    line = make(lambda: 0.0)
    line.push(sequence("new"))
    line.push_back(sequence("ran"))
    line.push(sequence("newer"))

    assert served(line)[0] == "ran"


@EACH
@given(ran=st.lists(st.booleans(), max_size=12), data=st.data())
def test_each_leaves_once_from_any_place_and_nobody_is_forgotten(
    make: Make, ran: list[bool], data: st.DataObject
) -> None:
    line, waiting = make(lambda: 0.0), [sequence(str(number)) for number in range(len(ran))]
    for each, has_run in zip(waiting, ran, strict=True):
        (line.push_back if has_run else line.push)(each)
    gone = data.draw(st.lists(st.sampled_from(waiting), unique_by=id)) if waiting else []
    for each in gone:
        line.remove(each)

    assert len(line) == len(waiting) - len(gone)
    left = {each.request_id for each in waiting} - {each.request_id for each in gone}
    assert sorted(served(line)) == sorted(left)
    assert len(line) == 0
