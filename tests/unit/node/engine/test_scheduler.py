"""The scheduler as pure logic, under a runner that reads its answers back from the pages."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import paper_engine

from kvring_node.messages import FinishReason, SamplingParams
from kvring_node.sequence import Sequence

SHARED = list(range(100, 140))


def batch_sizes(prompt_lengths: list[int], max_tokens: int, **limits: int) -> list[int]:
    paper = paper_engine.make(**limits)  # type: ignore[arg-type]  # only numbers are given
    for number, length in enumerate(prompt_lengths):
        paper.engine.add(paper_engine.submit(f"r{number}", [number] * length, max_tokens))
    paper_engine.finish(paper)
    return paper.runner.batch_tokens


@pytest.mark.parametrize(
    ("sentence", "prompt_lengths", "max_tokens", "limits", "expected"),
    [
        ("one prompt within the budget takes one step, then one token a step", [5], 3, {}, [5, 1, 1]),
        ("a prompt above the budget is computed in chunks", [10], 2, {"max_batch_tokens": 4}, [4, 4, 2, 1]),
        ("prompts share a step", [5, 6], 2, {}, [11, 2]),
        ("the budget cuts the second prompt, not the first", [5, 6], 2, {"max_batch_tokens": 8}, [8, 4, 1]),
        (
            "running sequences come before waiting ones",
            [4, 8],
            3,
            {"max_batch_tokens": 6},
            [6, 6, 2, 1, 1],
        ),
        ("a third waits for one of two seats", [2, 2, 2], 2, {"max_num_sequences": 2}, [4, 2, 2, 1]),
        ("a prompt waits until all its pages are free", [8, 12], 2, {"num_pages": 4}, [8, 1, 12, 1]),
    ],
)
def test_a_step_computes(
    sentence: str, prompt_lengths: list[int], max_tokens: int, limits: dict[str, int], expected: list[int]
) -> None:
    assert batch_sizes(prompt_lengths, max_tokens, **limits) == expected, sentence


@pytest.mark.parametrize(
    ("sentence", "prompt", "params", "complaint"),
    [
        ("a prompt as long as all pages leaves no room for an answer", [1] * 64, {}, "send at most 63"),
        ("an empty prompt", [], {}, "empty"),
        ("a token outside the vocabulary", [1, 1000], {}, "between 0 and 999"),
        ("a negative token", [-1], {}, "between 0 and 999"),
        ("no tokens asked for", [1], {"max_tokens": 0}, "max_tokens"),
        ("a negative temperature", [1], {"temperature": -0.1}, "temperature"),
        ("a temperature that is no number", [1], {"temperature": float("nan")}, "temperature"),
        ("an empty nucleus", [1], {"top_p": 0.0}, "top_p"),
        ("more than everything", [1], {"top_p": 1.1}, "top_p"),
        ("what no key can be made of", [1], {"stop_token_ids": [5]}, "unhashable type: 'list'"),
    ],
)
def test_refused(sentence: str, prompt: list[int], params: dict[str, object], complaint: str) -> None:
    paper = paper_engine.make()
    refused = paper.engine.add(paper_engine.submit("r", prompt, **params))  # type: ignore[arg-type]  # wrong on purpose
    assert refused is not None, sentence
    assert complaint in refused.message
    assert not paper.engine.has_work


def test_the_longest_prompt_that_is_taken_ends_when_the_pages_end() -> None:
    paper = paper_engine.make()
    assert paper.engine.add(paper_engine.submit("r", [1] * 63, max_tokens=10)) is None
    assert paper_engine.finish(paper) == {"r": paper_engine.expected([1] * 63, 1)}


def test_a_sequence_that_finds_no_page_preempts_the_last_and_both_answer_right() -> None:
    paper = paper_engine.make(num_pages=4, page_tokens=4)
    prompts = {"first": [1] * 7, "last": [2] * 7}
    for name, prompt in prompts.items():
        paper.engine.add(paper_engine.submit(name, prompt, max_tokens=6))
    answers = paper_engine.finish(paper)
    assert answers == {name: paper_engine.expected(prompt, 6) for name, prompt in prompts.items()}
    assert paper.engine.stats().num_preemptions > 0


def paper_with_an_unimportant_one_that_runs(num_pages: int) -> paper_engine.PaperEngine:
    paper = paper_engine.make(num_pages=num_pages, page_tokens=4, max_batch_tokens=6, strategy="Priority")
    add(paper, "unimportant", [1] * 3, priority=9)
    paper.engine.step()
    return paper


def add(paper: paper_engine.PaperEngine, name: str, prompt: list[int], priority: int = 0) -> None:
    request = paper_engine.submit(name, prompt, max_tokens=9)
    paper.engine.add(msgspec.structs.replace(request, priority=priority))


def test_the_budget_of_who_loses_its_pages_goes_to_the_others_of_the_step() -> None:
    paper = paper_with_an_unimportant_one_that_runs(num_pages=6)
    add(paper, "short", [2] * 3)
    add(paper, "long", [3] * 12)
    for _ in range(3):
        paper.engine.step()
    assert paper.engine.stats().num_preemptions == 1
    assert paper.runner.batch_tokens == [3, 6, 6, 6]


def test_nobody_is_admitted_in_a_step_in_which_somebody_lost_its_pages() -> None:
    paper = paper_with_an_unimportant_one_that_runs(num_pages=3)
    add(paper, "important", [2] * 3)
    paper.engine.step()
    add(paper, "small", [3])
    for _ in range(3):
        paper.engine.step()
    assert paper.engine.stats().num_preemptions == 1
    assert paper.runner.batch_tokens == [3, 4, 2, 1, 2]


def test_all_answers_of_a_request_have_its_number() -> None:
    paper = paper_engine.make()
    requests = [
        [
            Sequence(name, [1], 1, SamplingParams(), 2, frozenset(), seed=0, index=index)
            for index in range(num_answers)
        ]
        for name, num_answers in (("first", 1), ("second", 3), ("third", 1))
    ]
    for first, *siblings in requests:
        first.siblings = siblings
        paper.scheduler.add(first)
    assert [[each.arrival for each in request] for request in requests] == [[0], [1, 1, 1], [2]]


def test_a_prompt_seen_before_is_not_computed_again_but_for_its_last_page() -> None:
    paper = paper_engine.make()
    for name in ("cold", "warm"):
        paper.engine.add(paper_engine.submit(name, SHARED[:12], max_tokens=1))
        paper_engine.finish(paper)
    assert paper.runner.batch_tokens == [12, 4], "a full hit still computes at least one token"
    assert paper.engine.stats().prefix_hits_tokens == 8
    assert paper.engine.stats().prefix_queries_tokens == 24


def test_a_forgotten_prefix_is_computed_again_and_what_runs_goes_on() -> None:
    paper = paper_engine.make()
    paper.engine.add(paper_engine.submit("before", SHARED[:12], max_tokens=9))
    paper.engine.step()
    paper.engine.forget_prefixes()
    paper.engine.add(paper_engine.submit("after", SHARED[:12], max_tokens=1))
    assert paper_engine.finish(paper)["after"] == paper_engine.expected(SHARED[:12], 1)
    assert paper.engine.stats().prefix_hits_tokens == 0


def test_an_aborted_request_gives_its_pages_back_at_once_wherever_it_stands() -> None:
    paper = paper_engine.make(max_num_sequences=1)
    paper.engine.add(paper_engine.submit("running", [1] * 9, max_tokens=20))
    paper.engine.add(paper_engine.submit("waiting", [2] * 9, max_tokens=20))
    paper.engine.step()
    for request_id in ("running", "waiting", "unknown"):
        paper.engine.abort(request_id)
        paper.engine.check()
    assert paper.pool.num_used == 0
    assert not paper.engine.has_work
    assert paper.engine.step() == []


def test_a_preempted_request_can_be_aborted() -> None:
    paper = paper_engine.make(num_pages=4)
    for name in ("first", "last"):
        paper.engine.add(paper_engine.submit(name, [len(name)] * 7, max_tokens=6))
    while not paper.engine.stats().num_preemptions:
        paper.engine.step()
    paper.engine.abort("last")
    assert set(paper_engine.finish(paper)) == {"first"}


def test_an_id_that_is_running_is_a_fault_of_the_front() -> None:
    paper = paper_engine.make()
    paper.engine.add(paper_engine.submit("r", [1]))
    with pytest.raises(ValueError, match="request r is running"):
        paper.engine.add(paper_engine.submit("r", [1]))


def test_a_stop_token_ends_a_request_and_is_its_last_token() -> None:
    paper = paper_engine.make()
    third = paper_engine.expected([1, 2], 3)[-1]
    paper.engine.add(paper_engine.submit("r", [1, 2], max_tokens=9, stop_token_ids=(third,)))
    answers: dict[str, list[int]] = {}
    reasons: list[FinishReason] = []
    while paper.engine.has_work:
        reasons += paper_engine.collect(paper.engine.step(), answers)
    assert answers["r"][-1] == third
    assert len(answers["r"]) <= 3
    assert reasons == [FinishReason.STOP]


REQUESTS = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 20), st.integers(1, 12)), min_size=1, max_size=8
)


@settings(max_examples=200, deadline=None)
@given(
    requests=REQUESTS,
    num_pages=st.integers(10, 20),
    page_tokens=st.sampled_from([2, 4, 8]),
    max_batch_tokens=st.integers(1, 40),
    max_num_sequences=st.integers(1, 6),
    aborts=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 20)), max_size=3),
)
def test_every_request_ends_with_the_right_tokens_within_the_budget(
    requests: list[tuple[int, int, int]],
    num_pages: int,
    page_tokens: int,
    max_batch_tokens: int,
    max_num_sequences: int,
    aborts: list[tuple[int, int]],
) -> None:
    paper = paper_engine.make(num_pages, page_tokens, max_batch_tokens, max_num_sequences)
    room = num_pages * page_tokens
    expected = {}
    for number, (length, num_shared, max_tokens) in enumerate(requests):
        prompt = (SHARED[:num_shared] + [number] * length)[: room - 1]
        assert paper.engine.add(paper_engine.submit(f"r{number}", prompt, max_tokens)) is None
        expected[f"r{number}"] = paper_engine.expected(prompt, min(max_tokens, room - len(prompt)))
    answers: dict[str, list[int]] = {}
    for step in range(10_000):
        for number, at_step in aborts:
            if at_step == step:
                paper.engine.abort(f"r{number}")
        if not paper.engine.has_work:
            break
        paper_engine.collect(paper.engine.step(), answers)
        paper.engine.check()
    aborted = {f"r{number}" for number, _ in aborts}
    assert not paper.engine.has_work
    assert paper.pool.num_used == 0
    assert max(paper.runner.batch_tokens, default=0) <= max_batch_tokens
    assert {name: tokens for name, tokens in answers.items() if name not in aborted} == {
        name: tokens for name, tokens in expected.items() if name not in aborted
    }
