"""Filters equal those of transformers, in vLLM's order, and look at no more than they must."""

import itertools

import msgspec
import numpy as np
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import sampling_law
from tests.support.sampling_law import Case

from kvring_node.messages import SamplingParams
from kvring_node.sampling import choose, filters, randomness

PARAMS = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 2, 20, 256, 257, 600]),
    top_p=st.sampled_from(
        [0.0137, 0.5077, 0.9013, 0.99931, 1.0]
    ),  # no share of equals, which rounding would judge
    min_p=st.sampled_from([0.0, 0.001, 0.05, 0.9]),
    n=st.just(1),
    logit_bias=st.just(()),
    stop_token_ids=st.just(()),
    grammar=st.none(),
)


def noise(seed: int, *, rows: int, vocab_size: int, spread: float, coarse: bool) -> torch.Tensor:
    """Random logits; coarse ones have many equals, as bfloat16 gives."""
    logits = torch.randn(rows, vocab_size, generator=torch.Generator().manual_seed(seed)) * spread
    return logits.bfloat16().float() if coarse else logits


def their_law(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    processors: list[transformers.LogitsProcessor] = [
        transformers.TemperatureLogitsWarper(params.temperature)
    ]
    if params.min_p:
        processors.append(transformers.MinPLogitsWarper(params.min_p))
    if params.top_k:
        processors.append(transformers.TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        processors.append(transformers.TopPLogitsWarper(params.top_p))
    for processor in processors:
        logits = processor(torch.zeros(len(logits), 1, dtype=torch.int64), logits)
    return logits.softmax(dim=-1)


def our_law(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    all_or_k = msgspec.structs.replace(params, top_k=params.top_k or logits.shape[1])
    values, token_ids = filters.whole(logits)
    weights = filters.ordered_weights(values, [all_or_k] * len(logits))
    law = torch.zeros_like(logits).scatter(-1, token_ids, weights)
    return law / law.sum(dim=-1, keepdim=True)


@settings(deadline=None, max_examples=60)
@given(params=PARAMS, seed=st.integers(0, 10_000), spread=st.sampled_from([0.1, 1.0, 5.0]))
def test_filters_equal_those_of_transformers(params: SamplingParams, seed: int, spread: float) -> None:
    logits = noise(seed, rows=3, vocab_size=700, spread=spread, coarse=False).double()
    torch.testing.assert_close(our_law(logits, params), their_law(logits, params))


@settings(deadline=None, max_examples=60)
@given(
    params=st.lists(PARAMS, min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
    coarse=st.booleans(),
    spread=st.sampled_from([0.0, 0.5, 3.0, 10.0]),
)
def test_short_ways_lead_where_the_long_one_does(
    params: list[SamplingParams], seed: int, coarse: bool, spread: float
) -> None:
    logits = noise(seed, rows=len(params), vocab_size=700, spread=spread, coarse=coarse)
    draws = [Case("", one).draw(seed, row, 700) for row, one in enumerate(params)]
    got = choose.tokens(logits, draws)
    for row, one in enumerate(params):
        law = sampling_law.law(logits[row].double().numpy(), Case("", one))
        assert law[got[row]] > 0
        assert got[row] == slow_choice(logits[row].double().numpy(), one, law, seed, row)


def slow_choice(logits: np.ndarray, params: SamplingParams, law: np.ndarray, seed: int, number: int) -> int:
    """By cumulative shares of the law, or of the law without top_p until a token is in its nucleus."""
    order = sampling_law.order(logits)
    if params.top_k or params.top_p == 1:
        tokens = order if params.top_k else np.arange(len(logits))
        return int(tokens[np.searchsorted(law[tokens].cumsum(), uniform(seed, number), side="right")])
    whole = Case("", msgspec.structs.replace(params, top_p=1.0))
    shares = sampling_law.law(logits, whole)
    for attempt in itertools.count():
        total = shares.cumsum()
        picked = int(
            np.searchsorted(total, uniform(seed, number + attempt * 2**40) * total[-1], side="right")
        )
        if law[picked] > 0:
            return picked
        shares[order[order.tolist().index(picked) :]] = 0.0
    raise AssertionError


def uniform(seed: int, number: int) -> float:
    return float(randomness.uniforms([seed], [number])[0])


def test_a_narrow_law_is_decided_by_its_head() -> None:
    params = [SamplingParams(top_k=200, top_p=0.9), SamplingParams(top_k=50)]
    values, _ = filters.head(noise(1, rows=2, vocab_size=5000, spread=10.0, coarse=False))
    assert filters.undecided(values, filters.ordered_weights(values, params), params) == []
    values, _ = filters.head(torch.zeros(2, 5000))
    assert filters.undecided(values, filters.ordered_weights(values, params), params) == [0, 1]


def test_never_more_than_k_and_lower_ids_first_among_equals() -> None:
    logits = torch.zeros(1, 300, dtype=torch.float64)
    logits[0, 7] = 1.0
    (kept,) = our_law(logits, SamplingParams(top_k=3)).numpy()
    assert np.flatnonzero(kept).tolist() == [0, 1, 7]
