"""Choosing tokens: greedy is argmax, draws follow the law, and a seed does not care about its neighbours."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvring_node import sampling
from kvring_node.batch import Draw
from kvring_node.messages import SamplingParams

LOGITS = torch.tensor([1.0, -0.5, 2.0, 0.3, -3.0, 1.7])
NUM_DRAWS = 200_000

LAWS = [
    ("plain", 1.0, 1.0),
    ("hot", 2.0, 1.0),
    ("cold", 0.5, 1.0),
    ("nucleus", 1.0, 0.8),
    ("nucleus of a cold law: temperature comes first", 0.5, 0.8),
    ("nucleus of one", 1.0, 0.01),
]


def law(temperature: float, top_p: float) -> np.ndarray:
    """The exact probabilities, written down the slow way."""
    weights = np.exp(LOGITS.double().numpy() / temperature)
    probabilities = weights / weights.sum()
    kept, total = np.zeros_like(probabilities), 0.0
    for token in np.argsort(-probabilities):
        if total >= top_p:
            break
        kept[token] = probabilities[token]
        total += probabilities[token]
    normed: np.ndarray = kept / kept.sum()
    return normed


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Pearson's statistic; infinite when a token of no probability was drawn."""
    possible = probabilities > 0
    if counts[~possible].any():
        return float("inf")
    want = probabilities[possible] * counts.sum()
    return float(((counts[possible] - want) ** 2 / want).sum())


def drawn(temperature: float, top_p: float) -> np.ndarray:
    params = SamplingParams(temperature=temperature, top_p=top_p)
    draws = [Draw(0, params, 11, number) for number in range(NUM_DRAWS)]
    tokens = sampling.choose(LOGITS.expand(NUM_DRAWS, -1), draws)
    return np.bincount(tokens, minlength=len(LOGITS))


CRITICAL = 26.0  # of chi-square with at most 5 degrees of freedom at p = 1e-4


@pytest.mark.parametrize(("sentence", "temperature", "top_p"), LAWS)
def test_draws_follow_the_law(sentence: str, temperature: float, top_p: float) -> None:
    assert chi_square(drawn(temperature, top_p), law(temperature, top_p)) < CRITICAL, sentence


def test_the_statistic_notices_a_wrong_filter_order() -> None:
    nucleus_first = law(1.0, 0.8) ** 2
    assert chi_square(drawn(0.5, 0.8), nucleus_first / nucleus_first.sum()) > CRITICAL


@given(seed=st.integers(-(2**63), 2**64), number=st.integers(0, 10_000))
def test_uniforms_lie_in_the_unit_interval(seed: int, number: int) -> None:
    assert 0 <= sampling.uniform(seed, number) < 1


def test_uniforms_of_neighbouring_seeds_and_numbers_are_uncorrelated() -> None:
    grid = np.array([[sampling.uniform(seed, number) for number in range(300)] for seed in range(300)])
    assert abs(grid.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(grid[:-1].ravel(), grid[1:].ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(grid[:, :-1].ravel(), grid[:, 1:].ravel())[0, 1]) < 0.015


DRAWS = st.builds(
    Draw,
    row=st.just(0),
    params=st.builds(
        SamplingParams,
        temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
        top_p=st.sampled_from([0.1, 0.9, 1.0]),
        n=st.just(1),
        logit_bias=st.just(()),
        stop_token_ids=st.just(()),
        grammar=st.none(),
    ),
    seed=st.integers(-5, 2**63),
    number=st.integers(0, 100),
    grammar=st.none(),
)


@settings(deadline=None)
@given(draws=st.lists(DRAWS, min_size=1, max_size=8), noise=st.integers(0, 1000))
def test_a_draw_is_the_same_alone_and_in_any_batch(draws: list[Draw], noise: int) -> None:
    logits = torch.randn(len(draws), 50, generator=torch.Generator().manual_seed(noise))
    together = sampling.choose(logits, draws)
    alone = [sampling.choose(logits[i : i + 1], [draw])[0] for i, draw in enumerate(draws)]
    assert together == alone


def test_greedy_is_the_likeliest_token() -> None:
    assert sampling.choose(LOGITS[None], [Draw(0, SamplingParams(temperature=0), 0, 0)]) == [2]


def test_a_token_that_rounding_left_without_weight_is_never_drawn() -> None:
    logits = torch.tensor([[0.0, float("-inf"), float("-inf")]]).expand(1000, -1)
    draws = [Draw(0, SamplingParams(), 3, number) for number in range(1000)]
    assert set(sampling.choose(logits, draws)) == {0}
