"""What every scheduling strategy promises: the Protocol `Strategy`, held by whoever is in the registry."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvring_contract import spec
from kvring_node.batch import Chunk
from kvring_node.engine.ports import Strategy
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import SamplingParams
from kvring_node.sequence import Sequence

Make = Callable[[Callable[[], float]], Strategy]
EACH = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())

WISHES = st.fixed_dictionaries(
    {
        "priority": st.integers(-3, 3),
        "tenant": st.sampled_from(["a", "b", "c"]),
        "deadline_at": st.none() | st.floats(0, 300),
    }
)


def sequence(name: str, arrival: int = 0, **wishes: object) -> Sequence:
    return Sequence(name, [1, 2, 3], 3, SamplingParams(), 100, frozenset(), 0, arrival=arrival, **wishes)  # type: ignore[arg-type]  # named by tests


def served(line: Strategy) -> list[str]:
    """Names in the order of admission, one after the other, until nobody waits."""
    order = []
    while (first := line.peek()) is not None:
        line.admit(first)
        line.remove(first)
        order.append(first.request_id)
    return order


def test_they_have_the_names_that_the_spec_allows() -> None:
    assert list(STRATEGIES) == list(spec.Strategy)


@EACH
def test_an_empty_line_has_no_next(make: Make) -> None:
    assert (make(lambda: 0.0).peek(), len(make(lambda: 0.0))) == (None, 0)


@EACH
def test_looking_changes_nothing(make: Make) -> None:
    line = make(lambda: 0.0)
    line.push(sequence("a", 0))
    line.push(sequence("b", 1))

    assert line.peek() is line.peek()
    assert len(line) == 2


@EACH
def test_equals_are_served_as_they_came_also_who_lost_its_pages(make: Make) -> None:
    line = make(lambda: 0.0)
    first = sequence("first", 0)
    for each in (first, sequence("second", 1), sequence("third", 2)):
        line.push(each)
    line.admit(first)
    line.push_back(first)

    assert served(line) == ["first", "second", "third"]


@EACH
@given(wishes=st.lists(st.tuples(WISHES, st.booleans()), max_size=12), data=st.data())
def test_each_leaves_once_from_any_place_and_nobody_is_forgotten(
    make: Make, wishes: list[tuple[dict[str, object], bool]], data: st.DataObject
) -> None:
    line = make(lambda: 150.0)
    waiting = [sequence(str(number), number, **each) for number, (each, _) in enumerate(wishes)]
    for each, (_, has_run) in zip(waiting, wishes, strict=True):
        line.push(each)
        if has_run:
            line.admit(each)
            line.push_back(each)
    gone = data.draw(st.lists(st.sampled_from(waiting), unique_by=id)) if waiting else []
    for each in gone:
        line.remove(each)

    assert len(line) == len(waiting) - len(gone)
    left = {each.request_id for each in waiting} - {each.request_id for each in gone}
    assert sorted(served(line)) == sorted(left)
    assert len(line) == 0


@EACH
@given(
    wishes=st.lists(WISHES, min_size=2, max_size=6),
    deeds=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 40)), max_size=40),
)
def test_between_two_that_run_it_is_always_the_same_who_loses_its_pages(
    make: Make, wishes: list[dict[str, object]], deeds: list[tuple[int, float]]
) -> None:
    """Whatever happens: time passes, who runs draws tokens, is pushed back and admitted again."""
    now = 0.0
    line = make(lambda: now)
    running = [sequence(str(number), number, **each) for number, each in enumerate(wishes)]
    for each in running:
        line.push(each)
        line.admit(each)
    loser_of: dict[frozenset[Sequence], Sequence] = {}
    for number, passed_s in deeds:
        now += passed_s
        line.observe([Chunk(each, each.num_uncomputed) for each in running], passed_s)
        each = running[number % len(running)]
        line.push_back(each)
        line.peek()
        line.admit(each)
        for pair in itertools.combinations(running, 2):
            assert line.victim(pair) is loser_of.setdefault(frozenset(pair), line.victim(pair))


RIVALS: dict[str, dict[str, object]] = {
    "the same": {},
    "most important": {"priority": -(2**31)},
    "in a hurry": {"deadline_s": 2.0},
    "other tenants'": {"tenant": "{number}"},
}
TARGETS: dict[str, dict[str, object]] = {
    "an ordinary one": {},
    "the least important": {"priority": 2**31 - 1},
    "one that is late": {"deadline_at": -1.0},
    "one wanted much later": {"deadline_at": 1000.0},
}


@EACH
@pytest.mark.parametrize("rivals", RIVALS.values(), ids=RIVALS.keys())
@pytest.mark.parametrize("wishes", TARGETS.values(), ids=TARGETS.keys())
def test_nobody_starves_whoever_comes_later(
    make: Make, rivals: dict[str, object], wishes: dict[str, object]
) -> None:
    """One arrives each second and one is served: the line never gets shorter."""
    now = 0.0
    line = make(lambda: now)
    line.push(sequence("target", 0, **wishes))
    for number in itertools.count(1):
        now += 1.0
        line.push(_rival(number, now, rivals))
        first = line.peek()
        assert first is not None
        line.admit(first)
        line.observe([Chunk(first, first.num_uncomputed)], 0.01)
        line.remove(first)
        if first.request_id == "target":
            break
        assert number < 3000, "it waited 3000 s"


def _rival(number: int, now: float, wishes: dict[str, object]) -> Sequence:
    wishes = dict(wishes)
    deadline_s = wishes.pop("deadline_s", None)
    tenant = str(wishes.pop("tenant", "")).format(number=number)
    return sequence(
        f"r{number}",
        number,
        arrived_at=now,
        tenant=tenant,
        deadline_at=now + float(deadline_s) if isinstance(deadline_s, float) else None,
        **wishes,
    )
