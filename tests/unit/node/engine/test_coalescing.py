"""Identical requests in flight are one run; everybody who listens gets all of it."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import paper_engine
from tests.support.paper_engine import PaperEngine, expected, submit

from kvring_node.messages import Submit, Tokens

PROMPT = list(range(100, 111))
Answers = dict[str, list[int]]


def turn(paper: PaperEngine, answers: Answers, num_steps: int) -> list[Tokens]:
    """That many steps, checked; their tokens join the `answers`."""
    messages: list[Tokens] = []
    for _ in range(num_steps):
        said = paper.engine.step()
        paper_engine.collect(said, answers)
        paper.engine.check()
        messages += said
    return messages


def finish(paper: PaperEngine, answers: Answers) -> list[Tokens]:
    """Steps until there is no work; nothing may be left behind."""
    messages = []
    for _ in range(1000):
        if not paper.engine.has_work:
            break
        messages += turn(paper, answers, 1)
    assert not paper.engine.has_work
    assert paper.engine.stats().num_pages_used == 0
    return messages


@pytest.mark.parametrize("num_steps", range(6))
def test_a_follower_gets_everything_what_was_said_before_it_came_included(num_steps: int) -> None:
    paper = paper_engine.make()
    answers: Answers = {}
    paper.engine.add(submit("leader", PROMPT, 6))
    turn(paper, answers, num_steps)
    paper.engine.add(submit("follower", PROMPT, 6))
    messages = finish(paper, answers)
    assert answers == dict.fromkeys(("leader", "follower"), expected(PROMPT, 6))
    assert sum(paper.runner.batch_tokens) == len(PROMPT) + 5, "computed once"
    assert paper.engine.stats().num_coalesced == 1
    assert [m.request_id for m in messages if m.is_last] == ["leader", "follower"]
    assert all(m.finish_reason is not None for m in messages if m.is_last)


@pytest.mark.parametrize(
    ("sentence", "change", "is_coalesced"),
    [
        ("the same prompt and parameters", lambda: submit("b", PROMPT, 6), True),
        ("another prompt", lambda: submit("b", [*PROMPT, 1], 6), False),
        ("another length", lambda: submit("b", PROMPT, 5), False),
        ("another end", lambda: submit("b", PROMPT, 6, stop_token_ids=(3,)), False),
        ("another tenant", lambda: as_asked("b", tenant="other"), False),
        ("another priority", lambda: as_asked("b", priority=1), False),
        ("another deadline", lambda: as_asked("b", deadline_s=1.0), False),
    ],
)
def test_coalesced_with_a_greedy_request(
    sentence: str, change: Callable[[], Submit], is_coalesced: bool
) -> None:
    assert num_coalesced(submit("a", PROMPT, 6), change()) == is_coalesced, sentence


def as_asked(request_id: str, tenant: str = "", priority: int = 0, deadline_s: float | None = None) -> Submit:
    params = submit(request_id, PROMPT, 6).params
    return Submit(request_id, PROMPT, params, priority, tenant, deadline_s)


@pytest.mark.parametrize(
    ("sentence", "params", "is_coalesced"),
    [
        ("greedy ones", {}, True),
        ("those that draw from the same seed", {"temperature": 1.0, "seed": 5}, True),
        ("those that draw without a seed", {"temperature": 1.0}, False),
        ("those that want several answers", {"n": 2}, False),
        ("those that want log probabilities", {"logprobs": 1}, False),
        ("those that want the prompt's log probabilities", {"prompt_logprobs": 0}, False),
    ],
)
def test_two_equal_requests_are_one_run_if_they_are(
    sentence: str, params: dict[str, object], is_coalesced: bool
) -> None:
    assert num_coalesced(submit("a", PROMPT, 6, **params), submit("b", PROMPT, 6, **params)) == is_coalesced


def num_coalesced(*requests: Submit) -> int:
    paper = paper_engine.make()
    for request in requests:
        assert paper.engine.add(request) is None
    return paper.engine.stats().num_coalesced


def test_different_seeds_get_different_answers() -> None:
    paper = paper_engine.make()
    for seed in (1, 2):
        paper.engine.add(submit(f"seed {seed}", PROMPT, 6, temperature=1.0, seed=seed))
    answers = paper_engine.finish(paper)
    assert answers["seed 1"] != answers["seed 2"]


@pytest.mark.parametrize("num_steps", range(6))
@pytest.mark.parametrize("gone", ["a", "b", "c"])
def test_whoever_leaves_the_others_go_on(gone: str, num_steps: int) -> None:
    paper = paper_engine.make()
    answers: Answers = {}
    for name in "abc":
        paper.engine.add(submit(name, PROMPT, 7))
    turn(paper, answers, num_steps)
    paper.engine.abort(gone)
    said = len(answers.get(gone, []))
    finish(paper, answers)
    assert len(answers.pop(gone, [])) == said, "nothing more is said to who left"
    assert answers == {name: expected(PROMPT, 7) for name in "abc" if name != gone}


def test_when_all_have_left_the_pages_are_back_at_once() -> None:
    paper = paper_engine.make()
    for name in "abc":
        paper.engine.add(submit(name, PROMPT, 7))
    paper.engine.step()
    for name in "abc":
        assert paper.pool.num_used > 0
        paper.engine.abort(name)
    assert paper.pool.num_used == 0
    assert not paper.engine.has_work


def test_who_follows_and_leaves_before_the_next_step_is_told_nothing() -> None:
    paper = paper_engine.make()
    answers: Answers = {}
    paper.engine.add(submit("leader", PROMPT, 7))
    turn(paper, answers, 2)
    paper.engine.add(submit("follower", PROMPT, 7))
    paper.engine.abort("follower")
    finish(paper, answers)
    assert answers == {"leader": expected(PROMPT, 7)}


def test_who_follows_into_a_step_that_fails_gets_everything_all_the_same() -> None:
    paper = paper_engine.make()
    answers: Answers = {}
    paper.engine.add(submit("leader", PROMPT, 7))
    turn(paper, answers, 2)
    paper.engine.add(submit("follower", PROMPT, 7))
    paper.runner.before_step = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        paper.engine.step()
    paper.runner.before_step = lambda: None
    finish(paper, answers)
    assert answers == dict.fromkeys(("leader", "follower"), expected(PROMPT, 7))


@pytest.mark.parametrize("name", ["leader", "follower"])
def test_an_id_is_taken_until_its_request_is_gone_and_free_again_then(name: str) -> None:
    paper = paper_engine.make()
    answers: Answers = {}
    for each in ("leader", "follower"):
        paper.engine.add(submit(each, PROMPT, 7))
    turn(paper, answers, 2)
    with pytest.raises(ValueError, match=f"request {name} is running"):
        paper.engine.add(submit(name, [1, 2], 3))
    paper.engine.abort(name)
    del answers[name]
    paper.engine.add(submit(name, [1, 2], 3))
    finish(paper, answers)
    assert answers[name] == expected([1, 2], 3)
    answers.clear()
    paper.engine.add(submit(name, PROMPT, 3))
    finish(paper, answers)
    assert answers == {name: expected(PROMPT, 3)}


def test_who_comes_after_the_end_starts_anew() -> None:
    paper = paper_engine.make()
    answers: Answers = {}
    for _ in range(2):
        answers.clear()
        paper.engine.add(submit("r", PROMPT, 3))
        finish(paper, answers)
        assert answers == {"r": expected(PROMPT, 3)}
    assert paper.engine.stats().num_coalesced == 0


def test_a_preempted_run_still_answers_all() -> None:
    paper = paper_engine.make(num_pages=4)
    answers: Answers = {}
    prompts = {"first": [1] * 7, "last": [2] * 7, "like last": [2] * 7}
    for name, prompt in prompts.items():
        paper.engine.add(submit(name, prompt, 6))
    finish(paper, answers)
    assert paper.engine.stats().num_preemptions > 0
    assert paper.engine.stats().num_coalesced == 1
    assert answers == {name: expected(prompt, 6) for name, prompt in prompts.items()}


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("abort"), st.integers(0, 11), st.just(0)),
        st.tuples(st.just("step"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(events=EVENTS, num_pages=st.integers(6, 16), max_num_sequences=st.integers(1, 4))
def test_whatever_comes_and_goes_who_stays_gets_its_answer(
    events: list[tuple[str, int, int]], num_pages: int, max_num_sequences: int
) -> None:
    paper = paper_engine.make(num_pages, max_num_sequences=max_num_sequences)
    answers: Answers = {}
    wanted: Answers = {}
    for kind, number, seed in events:
        if kind == "add":
            name = f"r{len(wanted)}"
            prompt = PROMPT[: 4 * number + 3]
            sampling = {"temperature": 1.0, "seed": seed} if seed else {}
            paper.engine.add(submit(name, prompt, 5, **sampling))
            lone = paper_engine.make()
            lone.engine.add(submit("r", prompt, 5, **sampling))
            wanted[name] = paper_engine.finish(lone)["r"]
        elif kind == "abort":
            name = f"r{number}"
            paper.engine.abort(name)
            if name in wanted and len(answers.get(name, [])) < 5:
                wanted[name] = answers.get(name, [])
        else:
            turn(paper, answers, 1)
    finish(paper, answers)
    assert answers == {name: tokens for name, tokens in wanted.items() if tokens}
