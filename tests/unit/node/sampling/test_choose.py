"""Draws follow the exact law, in one batch with all others, and the statistic that says so can fail."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.support import sampling_law
from tests.support.sampling_cases import CASES, LOGITS, SENTENCES, UNLIKELY, Tamper, p_values
from tests.support.sampling_law import Case, Step

from kvring_node.batch import Draw

NUM_QUICK = 10_000
NUM_TAMPERED = 4_000


@pytest.fixture(scope="module")
def quick() -> dict[str, float]:
    return p_values(CASES, NUM_QUICK)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_draws_follow_the_law(sentence: str, quick: dict[str, float]) -> None:
    assert quick[sentence] > UNLIKELY


def shared_seed(draws: list[Draw]) -> list[Draw]:
    return [draw._replace(seed=0) for draw in draws]


def others_history(draws: list[Draw]) -> list[Draw]:
    rotated = [draws[-1], *draws[:-1]]
    return [
        draw._replace(token_ids=other.token_ids, num_prompt_tokens=other.num_prompt_tokens)
        for draw, other in zip(draws, rotated, strict=True)
    ]


def answer_taken_for_prompt(draws: list[Draw]) -> list[Draw]:
    return [draw._replace(num_prompt_tokens=0) for draw in draws]


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (shared_seed, "nothing asked: the model's own law"),
        (others_history, "presence counts the answer, once, and not the prompt"),
        (answer_taken_for_prompt, "frequency counts the answer, each time, and not the prompt"),
    ],
)
def test_the_statistic_notices_rows_that_are_mixed_up(bug: Tamper, sentence: str) -> None:
    assert p_values(CASES, NUM_TAMPERED, bug)[sentence] <= UNLIKELY


def one_too_few(logits: np.ndarray, one: Case) -> np.ndarray:
    kept = np.flatnonzero(np.isfinite(sampling_law.top_p(logits, one)))
    likeliest = [token_id for token_id in sampling_law.order(logits) if token_id in kept]
    return sampling_law.keep(logits, likeliest[: max(1, len(likeliest) - 1)])


def changed(old: Step, *new: Step) -> list[Step]:
    return [step for one in sampling_law.STEPS for step in (new if one is old else (one,))]


def moved(step: Step, before: Step) -> list[Step]:
    rest = [one for one in sampling_law.STEPS if one is not step]
    rest.insert(rest.index(before), step)
    return rest


BUGS = [
    ("the nucleus before temperature", moved(sampling_law.top_p, sampling_law.temperature),
     "temperature comes before the nucleus"),
    ("min_p before temperature", moved(sampling_law.min_p, sampling_law.temperature),
     "temperature comes before min_p"),
    ("top_p before top_k", moved(sampling_law.top_p, sampling_law.top_k),
     "top_p is a share of what top_k leaves"),
    ("top_p before min_p", moved(sampling_law.top_p, sampling_law.min_p),
     "top_p is a share of what min_p leaves"),
    ("a nucleus with one too few", changed(sampling_law.top_p, one_too_few), "a nucleus"),
    ("repetition before the bias", moved(sampling_law.repetition, sampling_law.bias),
     "the bias comes before the repetition penalty"),
    ("filters before penalties", moved(sampling_law.top_k, sampling_law.presence),
     "penalties come before filters"),
    ("filters before the grammar", moved(sampling_law.top_p, sampling_law.forbid),
     "filters look at what a grammar leaves"),
    ("presence counted twice", changed(sampling_law.presence, *[sampling_law.presence] * 2),
     "presence counts the answer, once, and not the prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("bug", "steps", "sentence"), BUGS, ids=[row[0] for row in BUGS])
def test_the_statistic_notices_wrong_steps(bug: str, steps: Sequence[Step], sentence: str) -> None:
    one = CASES[SENTENCES.index(sentence)]
    wrong = np.random.default_rng(1).multinomial(NUM_QUICK, sampling_law.law(LOGITS, one, steps))
    assert sampling_law.p_value(wrong, sampling_law.law(LOGITS, one)) <= UNLIKELY, bug
