"""Whatever else comes, every request that was admitted ends, under each strategy."""

import random
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import paper_engine
from tests.support.paper_runner import PaperRunner

from kvring_node.batch import Batch, Drawn
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import Submit, Tokens

EACH = pytest.mark.parametrize("strategy", STRATEGIES)
STEP_S = 1.0


class Ticking:
    """A paper engine in which each step takes a second."""

    def __init__(self, strategy: str, **limits: int):
        self.now = 0.0
        self.paper = paper_engine.make(strategy=strategy, clock=lambda: self.now, **limits)  # type: ignore[arg-type]  # only numbers are given
        self.paper.runner.before_step = self._tick
        self.answers: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.ended: set[str] = set()

    def step(self) -> list[Tokens]:
        said = self.paper.engine.step()
        for message in said:
            self.answers[message.request_id, message.index] += message.token_ids
            if message.is_last:
                self.ended.add(message.request_id)
        self.paper.engine.check()
        return said

    def _tick(self) -> None:
        self.now += STEP_S


def wishing(request: Submit, **wishes: object) -> Submit:
    return msgspec.structs.replace(request, **wishes)


REQUESTS = st.lists(
    st.fixed_dictionaries(
        {
            "length": st.integers(1, 30),
            "num_shared": st.integers(0, 20),
            "max_tokens": st.integers(1, 12),
            "n": st.integers(1, 4),
            "at_step": st.integers(0, 30),
            "priority": st.integers(-20, 20),
            "tenant": st.sampled_from("abc"),
            "deadline_s": st.none() | st.floats(0, 60),
            "aborted_at_step": st.none() | st.none() | st.integers(0, 40),
        }
    ),
    min_size=1,
    max_size=8,
)


@EACH
@settings(max_examples=100, deadline=None)
@given(
    requests=REQUESTS,
    num_pages=st.integers(8, 20),
    page_tokens=st.sampled_from([2, 4, 8]),
    max_batch_tokens=st.integers(1, 40),
    max_num_sequences=st.integers(1, 6),
)
def test_every_answer_is_right_and_ends_within_budget_and_seats(
    strategy: str,
    requests: list[dict[str, int]],
    num_pages: int,
    page_tokens: int,
    max_batch_tokens: int,
    max_num_sequences: int,
) -> None:
    """Forks, aborts, tiny pools: pages are lost and found, and nobody notices."""
    world = Ticking(
        strategy,
        num_pages=num_pages,
        page_tokens=page_tokens,
        max_batch_tokens=max_batch_tokens,
        max_num_sequences=max_num_sequences,
    )
    room = num_pages * page_tokens
    expected: dict[tuple[str, int], list[int]] = {}
    engine = world.paper.engine
    for step in range(10_000):
        for number, wish in enumerate(requests):
            name = f"r{number}"
            if wish["at_step"] == step:
                prompt = ([0] * wish["num_shared"] + [number] * wish["length"])[: room - 1]
                num_tokens = min(wish["max_tokens"], room - len(prompt))
                request = paper_engine.submit(name, prompt, wish["max_tokens"], n=wish["n"])
                kept = {key: wish[key] for key in ("priority", "tenant", "deadline_s")}
                assert engine.add(wishing(request, **kept)) is None
                for index in range(wish["n"]):
                    expected[name, index] = paper_engine.expected(prompt, num_tokens)
            if wish["aborted_at_step"] == step:
                engine.abort(name)
                expected = {key: tokens for key, tokens in expected.items() if key[0] != name}
        if step > 40 and not engine.has_work:
            break
        world.step()
        assert world.paper.scheduler.num_running <= max_num_sequences
    assert not engine.has_work
    assert world.paper.pool.num_used == 0
    assert max(world.paper.runner.batch_tokens, default=0) <= max_batch_tokens
    assert {key: world.answers[key] for key in expected} == expected


RIVALS = {
    "the same": {},
    "most important": {"priority": -(2**31)},
    "in a hurry": {"deadline_s": 3.0},
    "of other tenants": {"tenant": "other"},
    "of new tenants": {"tenant": "new {number}"},
}


@EACH
@pytest.mark.parametrize("rivals", RIVALS.values(), ids=RIVALS.keys())
def test_an_endless_stream_of_rivals_does_not_keep_one_from_its_end(
    strategy: str, rivals: dict[str, object]
) -> None:
    """Rivals fill every seat and more pages than there are; the one they would push out comes in between."""
    world = Ticking(strategy, num_pages=8, page_tokens=4, max_num_sequences=3)
    target = paper_engine.submit("target", [1] * 9, max_tokens=10)
    engine = world.paper.engine
    number = 0
    for step in range(6000):
        if step == 10:
            engine.add(wishing(target, priority=3, deadline_s=1.0, tenant="target"))
        while engine.stats().num_waiting < 3:
            wishes = {key: _numbered(value, number) for key, value in rivals.items()}
            prompt = [number % 1000, number // 1000, *[2] * 5]
            engine.add(wishing(paper_engine.submit(f"r{number}", prompt, max_tokens=6), **wishes))
            number += 1
        world.step()
        if "target" in world.ended:
            break
    assert world.answers["target", 0] == paper_engine.expected([1] * 9, 10)
    assert engine.stats().num_preemptions > 0, "the pool was to be too small"


def _numbered(value: object, number: int) -> object:
    return value.format(number=number) if isinstance(value, str) else value


@EACH
def test_the_last_ones_out_of_a_crowded_pool_end_too(strategy: str) -> None:
    """Every sequence alone fills the pool in the end: all but one must go, again and again."""
    world = Ticking(strategy, num_pages=6, page_tokens=4, max_num_sequences=6)
    generator = random.Random(1)
    for number in range(6):
        request = paper_engine.submit(f"r{number}", [number] * 3, max_tokens=21)
        world.paper.engine.add(
            wishing(
                request,
                priority=generator.randint(0, 9),
                tenant=generator.choice("ab"),
                deadline_s=generator.uniform(1, 90),
            )
        )
    for _ in range(1000):
        if not world.paper.engine.has_work:
            break
        world.step()
    assert world.ended == {f"r{number}" for number in range(6)}
    assert world.paper.engine.stats().num_preemptions > 5


def test_siblings_beyond_the_seats_wait_before_all_that_came_later() -> None:
    world = Ticking("FCFS", max_num_sequences=1)
    world.paper.engine.add(paper_engine.submit("forking", [1, 2], max_tokens=3, n=4))
    world.paper.engine.add(paper_engine.submit("later", [3, 4], max_tokens=1))
    order = [message.index for _ in range(20) for message in world.step() if message.request_id == "forking"]
    assert order == [0, 1, 2, 3, 0, 0, 1, 1, 2, 2, 3, 3]
    assert list(world.answers)[-1] == ("later", 0)


class Failing(PaperRunner):
    """Fails once."""

    def run(self, batch: Batch) -> Drawn:
        if len(self.batch_tokens) == 3:
            self.batch_tokens.append(0)
            raise RuntimeError("a cosmic ray")
        return super().run(batch)


@EACH
def test_who_runs_when_a_step_fails_starts_again_and_ends(strategy: str) -> None:
    paper = paper_engine.make(strategy=strategy, make_runner=Failing)
    prompts = {f"r{number}": [number] * (5 + number) for number in range(6)}
    for name, prompt in prompts.items():
        paper.engine.add(paper_engine.submit(name, prompt, max_tokens=5))
    answers: dict[str, list[int]] = {}
    for _ in range(3):
        paper_engine.collect(paper.engine.step(), answers)
    with pytest.raises(RuntimeError, match="cosmic"):
        paper.engine.step()
    for name, tokens in paper_engine.finish(paper).items():
        answers.setdefault(name, []).extend(tokens)
    assert answers == {name: paper_engine.expected(prompt, 5) for name, prompt in prompts.items()}
