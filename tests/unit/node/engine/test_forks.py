"""Answers that share a prompt: each is what it would be alone, whatever becomes of pages and seats."""

from collections import defaultdict
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import paper_engine
from tests.support.paper_engine import PaperEngine

from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import FinishReason, Tokens

SHARED = list(range(100, 140))
Answer = tuple[str, int]


def step(paper: PaperEngine, answers: dict[Answer, list[int]]) -> list[Tokens]:
    """One step, checked; its tokens join the `answers` by request and number."""
    messages = paper.engine.step()
    paper.engine.check()
    for message in messages:
        answers[message.request_id, message.index] += message.token_ids
    return messages


def finish(paper: PaperEngine) -> dict[Answer, list[int]]:
    """All answers; nothing may be left behind."""
    answers: dict[Answer, list[int]] = defaultdict(list)
    for _ in range(10_000):
        if not paper.engine.has_work:
            break
        step(paper, answers)
    assert not paper.engine.has_work
    stats = paper.engine.stats()
    assert (stats.num_pages_used, stats.num_pages_saved) == (0, 0)
    return dict(answers)


def alone(prompt: list[int], max_tokens: int, **params: object) -> list[int]:
    """What one request with one answer gets from an engine of its own, with room for everything."""
    paper = paper_engine.make(num_pages=100, max_batch_tokens=1000)
    paper.engine.add(paper_engine.submit("r", prompt, max_tokens, **params))
    return paper_engine.finish(paper)["r"]


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize(
    ("sentence", "limits"),
    [
        ("room and seats for all", {"num_pages": 64, "max_num_sequences": 8}),
        ("as many pages as one answer needs", {"num_pages": 6, "max_num_sequences": 8}),
        ("two seats", {"num_pages": 64, "max_num_sequences": 2}),
        ("a budget of three tokens", {"num_pages": 64, "max_num_sequences": 8, "max_batch_tokens": 3}),
        ("one seat and few pages", {"num_pages": 6, "max_num_sequences": 1}),
    ],
)
def test_answers_equal_those_of_lone_requests(
    sentence: str, limits: dict[str, int], length: int, n: int
) -> None:
    greedy, sampled = paper_engine.make(**limits), paper_engine.make(**limits)  # type: ignore[arg-type]  # only numbers
    prompt = SHARED[:length]
    greedy.engine.add(paper_engine.submit("r", prompt, 9, n=n))
    sampled.engine.add(paper_engine.submit("r", prompt, 9, n=n, temperature=1.0, seed=40))
    assert finish(greedy) == {("r", i): alone(prompt, 9) for i in range(n)}, sentence
    assert finish(sampled) == {("r", i): alone(prompt, 9, temperature=1.0, seed=40 + i) for i in range(n)}
    for paper in (greedy, sampled):
        assert paper.engine.stats().num_pages_copied <= n - 1 or limits["num_pages"] == 6, "preempted, twice"


@pytest.mark.parametrize(
    ("sentence", "length", "n", "num_copies"),
    [
        ("a prompt that ends within a page is copied once a fork", 5, 4, 3),
        ("a prompt that fills its pages has nothing to copy", 8, 4, 0),
        ("a lone answer copies nothing", 5, 1, 0),
    ],
)
def test_copies(sentence: str, length: int, n: int, num_copies: int) -> None:
    paper = paper_engine.make(num_pages=64, max_num_sequences=8)
    paper.engine.add(paper_engine.submit("r", SHARED[:length], 12, n=n, temperature=1.0, seed=1))
    finish(paper)
    assert paper.engine.stats().num_pages_copied == paper.runner.num_copies == num_copies, sentence


def test_the_prompt_is_computed_once_and_its_full_pages_are_held_once() -> None:
    paper = paper_engine.make(num_pages=64, max_batch_tokens=64, max_num_sequences=8)
    paper.engine.add(paper_engine.submit("r", SHARED[:34], 3, n=8, temperature=1.0, seed=1))
    paper.engine.step()
    assert paper.runner.batch_tokens == [34]
    assert paper.pool.num_used == 9
    paper.engine.step()
    assert paper.runner.batch_tokens == [34, 8]
    assert paper.pool.num_used == 8 + 8
    assert paper.engine.stats().num_pages_saved == 7 * 8


def test_the_last_message_of_a_request_says_so_and_every_answer_says_why_it_ended() -> None:
    paper = paper_engine.make(num_pages=64, max_num_sequences=3)
    paper.engine.add(paper_engine.submit("r", SHARED[:6], 5, n=5, temperature=1.0, seed=3))
    messages: list[Tokens] = []
    while paper.engine.has_work:
        messages += paper.engine.step()
    assert [message.is_last for message in messages] == [False] * (len(messages) - 1) + [True]
    ended = [message for message in messages if message.finish_reason is not None]
    assert sorted(message.index for message in ended) == list(range(5))
    assert {message.finish_reason for message in ended} == {FinishReason.LENGTH}


@pytest.mark.parametrize("num_steps", range(8))
@pytest.mark.parametrize("max_num_sequences", [1, 2, 8])
def test_an_aborted_request_gives_all_its_answers_pages_back(num_steps: int, max_num_sequences: int) -> None:
    paper = paper_engine.make(num_pages=8, max_batch_tokens=4, max_num_sequences=max_num_sequences)
    paper.engine.add(paper_engine.submit("gone", SHARED[:10], 9, n=4))
    paper.engine.add(paper_engine.submit("stays", SHARED[:10], 9, n=2))
    answers: dict[Answer, list[int]] = defaultdict(list)
    for _ in range(num_steps):
        step(paper, answers)
    paper.engine.abort("gone")
    paper.engine.check()
    while paper.engine.has_work:
        assert {message.request_id for message in step(paper, answers)} <= {"stays"}
    assert paper.pool.num_used == 0
    assert [answers["stays", i] for i in range(2)] == [alone(SHARED[:10], 9)] * 2


@pytest.mark.parametrize("num_pages", [8, 64])
@pytest.mark.parametrize("num_steps", range(4, 9))
@pytest.mark.parametrize("index", range(3))
def test_an_answer_ends_alone(index: int, num_steps: int, num_pages: int) -> None:
    paper = paper_engine.make(num_pages=num_pages, max_batch_tokens=4, max_num_sequences=3)
    paper.engine.add(paper_engine.submit("r", SHARED[:10], 9, n=3, temperature=1.0, seed=5))
    answers: dict[Answer, list[int]] = defaultdict(list)
    for _ in range(num_steps):
        step(paper, answers)
    num_running, num_used = paper.scheduler.num_running, paper.pool.num_used
    paper.engine.abort("r", index)
    paper.engine.abort("r", index)
    paper.engine.check()
    assert paper.scheduler.num_running < num_running or paper.engine.stats().num_preemptions
    assert paper.pool.num_used < num_used or paper.engine.stats().num_preemptions
    messages: list[Tokens] = []
    while paper.engine.has_work:
        messages += step(paper, answers)
    assert index not in {message.index for message in messages}
    assert [message.is_last for message in messages] == [False] * (len(messages) - 1) + [True]
    for other in {0, 1, 2} - {index}:
        assert answers["r", other] == alone(SHARED[:10], 9, temperature=1.0, seed=5 + other)
    assert (paper.pool.num_used, paper.pool.num_saved) == (0, 0)


def test_an_answer_that_has_ended_by_itself_takes_no_other_with_it() -> None:
    """Its reader saw a stop string in it, and said so too late."""
    paper = paper_engine.make(num_pages=64)
    paper.engine.add(paper_engine.submit("r", SHARED[:5], 2, n=2))
    paper.engine.step()
    first, *_ = paper.engine.step()
    assert first.finish_reason is FinishReason.LENGTH
    paper.engine.abort("r", 0)
    assert not paper.engine.has_work
    paper.engine.abort("r", 0)


def test_answers_that_all_end_alone_end_their_request() -> None:
    paper = paper_engine.make(num_pages=64)
    paper.engine.add(paper_engine.submit("r", SHARED[:5], 9, n=2))
    paper.engine.step()
    for index in range(2):
        paper.engine.abort("r", index)
    assert not paper.engine.has_work
    assert paper.engine.add(paper_engine.submit("r", SHARED[:5], 9)) is None


def test_a_stop_string_gives_an_answers_pages_back_while_others_go_on() -> None:
    paper = paper_engine.make(num_pages=64)
    params = paper_engine.submit("r", SHARED[:5], 30, n=2, temperature=1.0, seed=1).params
    end = chr(alone(SHARED[:5], 1, temperature=1.0, seed=1)[0])
    pieces = paper.engine.stream([SHARED[:5]], params, stop=[end])
    assert [paper.scheduler.num_running for _ in pieces] == [1] * 30 + [0]


@dataclass(frozen=True)
class Asked:
    num_shared: int
    own: list[int]
    max_tokens: int
    n: int
    seed: int | None
    priority: int
    abort_at: int | None
    first_ends_at: int | None

    @property
    def params(self) -> dict[str, object]:
        sampling = {} if self.seed is None else {"temperature": 1.0, "seed": self.seed}
        return {"n": self.n, **sampling}

    def answers(self, room: int) -> list[list[int]]:
        """What it must get from a pool with room for so many tokens."""
        num_tokens = min(self.max_tokens, room - len(self.prompt))
        seeds = [
            {} if self.seed is None else {"temperature": 1.0, "seed": self.seed + i} for i in range(self.n)
        ]
        return [alone(self.prompt, num_tokens, **params) for params in seeds]

    @property
    def prompt(self) -> list[int]:
        return SHARED[: self.num_shared] + self.own


ASKED = st.builds(
    Asked,
    num_shared=st.integers(0, 12),
    own=st.lists(st.integers(0, 1), min_size=1, max_size=8),
    max_tokens=st.integers(1, 12),
    n=st.integers(1, 5),
    seed=st.none() | st.integers(0, 3),
    priority=st.integers(0, 2),
    abort_at=st.none() | st.integers(0, 20),
    first_ends_at=st.none() | st.integers(0, 20),
)


@settings(max_examples=100, deadline=None)
@given(
    requests=st.lists(ASKED, min_size=1, max_size=5),
    num_pages=st.integers(8, 16),
    page_tokens=st.sampled_from([3, 4]),
    max_batch_tokens=st.integers(1, 40),
    max_num_sequences=st.integers(1, 8),
    strategy=st.sampled_from(sorted(STRATEGIES)),
)
def test_every_answer_of_every_request_is_the_lone_one(
    requests: list[Asked],
    num_pages: int,
    page_tokens: int,
    max_batch_tokens: int,
    max_num_sequences: int,
    strategy: str,
) -> None:
    paper = paper_engine.make(num_pages, page_tokens, max_batch_tokens, max_num_sequences, strategy)
    for number, asked in enumerate(requests):
        request = paper_engine.submit(f"r{number}", asked.prompt, asked.max_tokens, **asked.params)
        assert paper.engine.add(msgspec.structs.replace(request, priority=asked.priority)) is None
    answers: dict[Answer, list[int]] = defaultdict(list)
    for turn in range(10_000):
        for number, asked in enumerate(requests):
            if asked.abort_at == turn:
                paper.engine.abort(f"r{number}")
            if asked.first_ends_at is not None and turn >= asked.first_ends_at and answers[f"r{number}", 0]:
                paper.engine.abort(f"r{number}", 0)
        if not paper.engine.has_work:
            break
        step(paper, answers)
    assert not paper.engine.has_work
    assert (paper.pool.num_used, paper.pool.num_saved) == (0, 0)
    room = num_pages * page_tokens
    for number, asked in enumerate(requests):
        if asked.abort_at is None:
            first = 0 if asked.first_ends_at is None else 1
            assert [answers[f"r{number}", i] for i in range(first, asked.n)] == asked.answers(room)[first:]
