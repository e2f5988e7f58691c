"""Deadlines: who can make it goes first, and what steps cost is learned from steps."""

import itertools
import math
import random

import pytest

from kvring_node.batch import Chunk
from kvring_node.engine.strategies import sla
from kvring_node.engine.strategies.step_cost import StepCost
from kvring_node.messages import SamplingParams
from kvring_node.sequence import Sequence

NUMBERS = itertools.count()


class Line:
    """A line on a clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.strategy = sla.Deadlines(lambda: self.now)

    def learn(self, fixed_s: float, token_s: float) -> None:
        for num_tokens in (1, 100, 1, 100, 1):
            chunk = Chunk(sequence("lesson", num_prompt_tokens=num_tokens), num_tokens)
            self.strategy.observe([chunk], fixed_s + token_s * num_tokens)

    def push(self, name: str, deadline_at: float | None, num_prompt_tokens: int = 1, most: int = 1) -> None:
        self.strategy.push(sequence(name, deadline_at, num_prompt_tokens, most, self.now))

    def admit(self) -> Sequence:
        first = self.strategy.peek()
        assert first is not None
        self.strategy.admit(first)
        return first

    def next(self) -> str:
        """Serves one from its admission to its end, in no time."""
        first = self.admit()
        self.strategy.remove(first)
        return first.request_id


def sequence(
    name: str,
    deadline_at: float | None = None,
    num_prompt_tokens: int = 1,
    most: int = 1,
    arrived_at: float = 0.0,
) -> Sequence:
    return Sequence(
        name,
        [1] * num_prompt_tokens,
        num_prompt_tokens,
        SamplingParams(),
        num_prompt_tokens + most,
        frozenset(),
        0,
        deadline_at=deadline_at,
        arrived_at=arrived_at,
        arrival=next(NUMBERS),
    )


def test_the_earliest_deadline_goes_first() -> None:
    line = Line()
    line.push("later", 9.0)
    line.push("sooner", 5.0)
    assert [line.next(), line.next()] == ["sooner", "later"]


def test_who_is_late_already_lets_others_go_first() -> None:
    line = Line()
    line.push("late", 1.0)
    line.push("timely", 5.0)
    line.now = 2.0
    assert [line.next(), line.next()] == ["timely", "late"]


def test_a_prompt_too_long_for_its_deadline_is_late_before_it() -> None:
    line = Line()
    line.learn(fixed_s=0.0, token_s=0.01)
    line.push("long", 5.0, num_prompt_tokens=1000)
    line.push("short", 6.0, num_prompt_tokens=10)
    assert line.next() == "short"


def test_an_answer_too_long_for_its_deadline_is_late_before_it() -> None:
    line = Line()
    line.learn(fixed_s=0.1, token_s=0.0)
    line.push("long", 5.0, most=1000)
    line.push("short", 6.0, most=10)
    assert line.next() == "short"


def test_answers_are_expected_to_be_as_long_as_they_have_been() -> None:
    line = Line()
    line.learn(fixed_s=0.1, token_s=0.0)
    for _ in range(20):
        ended = sequence("ended")
        ended.token_ids += [1, 1, 1]
        line.strategy.remove(ended)
    line.push("asks for much", 5.0, most=1000)
    line.push("asks for little", 6.0, most=10)
    assert line.next() == "asks for much"


def test_who_names_no_deadline_has_a_place_and_is_never_late() -> None:
    line = Line()
    line.push("whenever", None)
    line.push("before", sla.PATIENCE_S - 1)
    line.push("after", 10_000.0)
    assert line.next() == "before"
    line.now = 5_000.0
    assert [line.next(), line.next()] == ["whenever", "after"]


def test_a_late_one_does_not_slow_down_who_can_make_it() -> None:
    line = Line()
    line.learn(fixed_s=0.0, token_s=0.01)
    line.push("timely", 50.0)
    line.push("late", 0.5, num_prompt_tokens=100)
    timely = line.admit()
    assert line.strategy.peek() is None
    line.strategy.remove(timely)
    assert line.next() == "late"


def test_late_ones_get_their_part_of_the_time_also_while_others_can_make_it() -> None:
    line = Line()
    line.learn(fixed_s=0.0, token_s=0.01)
    for _ in range(2):
        line.push("late", 0.5, num_prompt_tokens=110)
    moments = []
    for second in range(50):
        line.now = float(second)
        line.push("timely", line.now + 1000.0)
        if line.next() == "late":
            moments.append(second)
    turn = math.ceil(1.1 / sla.LATE_SHARE)
    assert moments == [turn, 2 * turn], "a prompt takes 1.1 s"


def test_the_latest_deadline_loses_its_pages() -> None:
    running = [sequence("a", 3.0), sequence("b", 9.0), sequence("c", 5.0)]
    assert Line().strategy.victim(running) is running[1]


@pytest.mark.parametrize(("fixed_s", "token_s"), [(0.02, 0.0001), (0.0, 0.001), (0.5, 0.0)])
def test_the_parts_of_a_steps_cost_are_found(fixed_s: float, token_s: float) -> None:
    cost, generator = StepCost(), random.Random(1)
    for _ in range(500):
        num_tokens = generator.randint(1, 2048)
        cost.observe(num_tokens, (fixed_s + token_s * num_tokens) * generator.uniform(0.95, 1.05))
    assert cost.token_s == pytest.approx(token_s, rel=0.1, abs=2e-5)


def test_a_changed_cost_is_learned_anew() -> None:
    cost = StepCost()
    for step in range(2000):
        num_tokens = 1 + step % 100
        cost.observe(num_tokens, 0.01 * num_tokens if step < 1000 else 0.02 * num_tokens)
    assert cost.token_s == pytest.approx(0.02, rel=0.01)


def test_equal_steps_tell_nothing_of_a_token_and_noise_makes_no_negative_cost() -> None:
    equal, falling = StepCost(), StepCost()
    for step in range(10):
        equal.observe(5, 0.1)
        falling.observe(step + 1, 1.0 / (step + 1))
    assert equal.token_s == 0.0
    assert equal.mean_s == pytest.approx(0.1)
    assert falling.token_s == 0.0
    assert StepCost().mean_s == StepCost().token_s == 0.0
