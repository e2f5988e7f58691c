"""Penalties and biases: those of transformers where it has them, and in place for the right rows only."""

import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.sampling_law import Case

from kvring_node.messages import SamplingParams
from kvring_node.sampling import penalties

VOCAB_SIZE = 12
TOKENS = st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=8).map(tuple)


def logits_of(seed: int, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, VOCAB_SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(penalty=st.floats(0.01, 100), prompt=TOKENS.filter(bool), answer=TOKENS, seed=st.integers(0, 999))
def test_repetition_penalty_equals_that_of_transformers(
    penalty: float, prompt: tuple[int, ...], answer: tuple[int, ...], seed: int
) -> None:
    logits = logits_of(seed)
    theirs = transformers.RepetitionPenaltyLogitsProcessor(penalty)(
        torch.tensor([[*prompt, *answer]]), logits.clone()
    )
    one = Case("", SamplingParams(repetition_penalty=penalty), prompt, answer)
    penalties.apply(logits, [one.draw(0, 0, VOCAB_SIZE)])
    torch.testing.assert_close(logits, theirs, rtol=0, atol=0)


@settings(deadline=None)
@given(biases=st.dictionaries(st.integers(0, VOCAB_SIZE - 1), st.floats(-100, 100), min_size=1),
       seed=st.integers(0, 999))  # fmt: skip
def test_logit_bias_equals_that_of_transformers(biases: dict[int, float], seed: int) -> None:
    logits = logits_of(seed).float()
    processor = transformers.SequenceBiasLogitsProcessor(
        [[[token_id], bias] for token_id, bias in biases.items()]
    )
    theirs = processor(torch.zeros(1, 1, dtype=torch.int64), logits)
    ours = logits.double()
    one = Case("", SamplingParams(logit_bias=tuple(biases.items())))
    penalties.apply(ours, [one.draw(0, 0, VOCAB_SIZE)])
    torch.testing.assert_close(ours.float(), theirs)


def test_frequency_and_presence_are_taken_from_the_answers_tokens() -> None:
    logits = torch.zeros(1, VOCAB_SIZE, dtype=torch.float64)
    params = SamplingParams(frequency_penalty=0.5, presence_penalty=2.0)
    penalties.apply(logits, [Case("", params, prompt=(1, 2), answer=(2, 3, 3, 3)).draw(0, 0, VOCAB_SIZE)])
    assert {i: number for i, number in enumerate(logits[0].tolist()) if number} == {2: -2.5, 3: -3.5}


def test_rows_without_penalties_stay_as_they_are() -> None:
    logits = logits_of(1, rows=3)
    before = logits.clone()
    plain = Case("", prompt=(1, 2), answer=(3,))
    harsh = Case("", SamplingParams(repetition_penalty=3.0, presence_penalty=1.0), (1, 2), (3,))
    penalties.apply(logits, [one.draw(0, 0, VOCAB_SIZE) for one in (plain, harsh, plain)])
    assert (logits != before).nonzero().tolist() == [[1, 1], [1, 2], [1, 3]]
