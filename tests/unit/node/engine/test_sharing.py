"""Requests that arrive together share the pages that their first one fills in the same step."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import paper_engine
from tests.support.paper_runner import PaperRunner

from kvring_node.batch import Batch, Drawn

SHARED = list(range(100, 140))


@pytest.mark.parametrize(
    ("sentence", "prompts", "max_batch_tokens", "expected"),
    [
        ("equal prompts compute what fills no page", [SHARED[:11]] * 3, 64, [11 + 3 + 3]),
        ("at least one token is computed, for its logits", [SHARED[:8]] * 2, 64, [8 + 4]),
        ("a common beginning is computed once", [[*SHARED[:8], 1], [*SHARED[:8], 2]], 64, [9 + 1]),
        ("a page is shared as far as the budget fills it", [SHARED[:16]] * 2, 10, [10, 6 + 4]),
        ("different prompts share nothing", [[1] * 8, [2] * 8], 64, [16]),
    ],
)
def test_a_step_computes(
    sentence: str, prompts: list[list[int]], max_batch_tokens: int, expected: list[int]
) -> None:
    paper = paper_engine.make(num_pages=64, max_batch_tokens=max_batch_tokens)
    for number, prompt in enumerate(prompts):
        paper.engine.add(paper_engine.submit(f"r{number}", prompt, 1, seed=number))
    assert paper_engine.finish(paper).keys() == {f"r{number}" for number in range(len(prompts))}
    assert paper.runner.batch_tokens == expected, sentence


@settings(max_examples=100, deadline=None)
@given(
    prompts=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=1, max_size=8),
    num_pages=st.integers(8, 24),
    max_batch_tokens=st.integers(1, 60),
)
def test_whoever_arrives_together_gets_the_right_answers(
    prompts: list[tuple[int, int]], num_pages: int, max_batch_tokens: int
) -> None:
    paper = paper_engine.make(num_pages, max_batch_tokens=max_batch_tokens)
    expected = {}
    for number, (num_shared, own) in enumerate(prompts):
        prompt = [*SHARED[:num_shared], own]
        paper.engine.add(paper_engine.submit(f"r{number}", prompt, 3, seed=number))
        expected[f"r{number}"] = paper_engine.expected(prompt, 3)
    assert paper_engine.finish(paper) == expected


class Interrupted(BaseException):
    """Ctrl-C in the middle of a step."""


class FailingRunner(PaperRunner):
    """Leaves nonsense in the pages of one step."""

    def __init__(self, page_tokens: int, fail_at: int):
        super().__init__(page_tokens)
        self._fail_at = fail_at

    def run(self, batch: Batch) -> Drawn:
        self._fail_at -= 1
        if self._fail_at:
            return super().run(batch)
        super().run(replace(batch, token_ids=[999] * len(batch.token_ids), draws=[]))
        raise Interrupted


@pytest.mark.parametrize("fail_at", range(1, 8))
def test_after_a_step_that_failed_nobody_finds_its_pages_and_all_go_on(fail_at: int) -> None:
    paper = paper_engine.make(
        num_pages=24, make_runner=lambda page_tokens: FailingRunner(page_tokens, fail_at)
    )
    prompts = {"one": SHARED[:11], "same": SHARED[:11], "longer": SHARED[:22], "late": SHARED[:14]}
    answers: dict[str, list[int]] = {}
    for number, (name, prompt) in enumerate(prompts.items()):
        paper.engine.add(paper_engine.submit(name, prompt, 6, seed=number))
    for _ in range(1, fail_at):
        paper_engine.collect(paper.engine.step(), answers)
    with pytest.raises(Interrupted):
        paper.engine.step()
    paper.engine.check()
    assert paper.engine.stats().num_pages_used == paper.engine.stats().num_pages_cached == 0
    while paper.engine.has_work:
        paper_engine.collect(paper.engine.step(), answers)
        paper.engine.check()
    assert answers == {name: paper_engine.expected(prompt, 6) for name, prompt in prompts.items()}
