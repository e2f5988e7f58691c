"""A draw is the same alone and in any batch, whatever was asked, and so is what is said of it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.sampling_law import Case

from kvring_node.batch import Draw
from kvring_node.messages import SamplingParams
from kvring_node.sampling import choose, logprobs

VOCAB_SIZE = 400
TOKEN = st.integers(0, VOCAB_SIZE - 1)
SAID = st.lists(TOKEN, max_size=6).map(tuple)

CASES = st.builds(
    Case,
    sentence=st.just(""),
    params=st.builds(
        SamplingParams,
        temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
        top_k=st.sampled_from([0, 1, 5, 300]),
        top_p=st.sampled_from([0.1, 0.9, 1.0]),
        min_p=st.sampled_from([0.0, 0.1]),
        repetition_penalty=st.sampled_from([0.7, 1.0, 1.5]),
        presence_penalty=st.sampled_from([0.0, 1.5]),
        frequency_penalty=st.sampled_from([-0.5, 0.0]),
        logit_bias=st.dictionaries(TOKEN, st.floats(-100, 100), max_size=3).map(lambda d: tuple(d.items())),
        logprobs=st.sampled_from([None, 0, 3]),
        n=st.just(1),
        stop_token_ids=st.just(()),
        grammar=st.none(),
    ),
    prompt=SAID,
    answer=SAID,
    banned=st.frozensets(TOKEN, max_size=3),
    allowed=st.none() | st.lists(TOKEN, min_size=1, max_size=5).map(tuple),
)
DRAWS = st.builds(Case.draw, CASES, st.integers(-5, 2**63), st.integers(0, 100), st.just(VOCAB_SIZE))


@settings(deadline=None)
@given(
    draws=st.lists(DRAWS, min_size=1, max_size=8), noise=st.integers(0, 1000), spread=st.sampled_from([1, 6])
)
def test_a_draw_is_the_same_alone_and_in_any_batch(draws: list[Draw], noise: int, spread: int) -> None:
    generator = torch.Generator().manual_seed(noise)
    logits = spread * torch.randn(len(draws), VOCAB_SIZE, generator=generator)
    before = logits.clone()
    together = choose.tokens(logits, draws)
    said = logprobs.of_draws(logits, draws, together)
    for row, draw in enumerate(draws):
        alone = logits[row : row + 1]
        assert choose.tokens(alone, [draw]) == [together[row]]
        assert logprobs.of_draws(alone, [draw], [together[row]]) == [said[row]]
        assert draw.grammar is None or draw.grammar.bitmask().view("uint8")[together[row] // 8] != 0
    assert torch.equal(logits, before)


@settings(deadline=None)
@given(draw=DRAWS, places=st.lists(TOKEN, max_size=3), what=st.sampled_from(["nan", "inf", "-inf"]))
def test_logits_that_are_no_numbers_give_a_token_and_spoil_no_other_row(
    draw: Draw, places: list[int], what: str
) -> None:
    logits = torch.randn(2, VOCAB_SIZE, generator=torch.Generator().manual_seed(0))
    (alone,) = choose.tokens(logits[1:], [draw])
    logits[0, places or slice(None)] = float(what)
    token_id, other = choose.tokens(logits, [draw, draw])
    assert 0 <= token_id < VOCAB_SIZE
    assert other == alone
    assert len(logprobs.of_draws(logits, [draw, draw], [token_id, other])) == 2
