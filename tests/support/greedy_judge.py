"""Is an answer what `generate` of transformers gives? The judge of the greedy cases."""

from dataclasses import dataclass

import torch
import transformers
from tests.support import tiny_models
from tests.support.engine_cases import Answer, Ask

TIE = 1e-4
"""Logits closer than this are a tie: both programs round, and either token is right.

After one, transformers is asked again from the token that was taken. No other difference is forgiven.
"""


TOLERANCE = 1e-4
"""Of log probabilities, everywhere."""


class Disagreement(AssertionError):
    """The answer is wrong; the message says where."""


@dataclass(frozen=True)
class Verdict:
    """An answer is right. `worst`: the greatest difference of a log probability."""

    num_tokens: int
    num_ties: int
    worst: float


@dataclass(frozen=True)
class _Reference:
    """What transformers writes: tokens, and `[tokens, vocab]` before and after penalties and bans."""

    token_ids: list[int]
    logits: torch.Tensor
    scores: torch.Tensor


def judge(model: transformers.PreTrainedModel, ask: Ask, answer: Answer) -> Verdict:
    """Compares an answer to a greedy request, token by token.

    Raises:
        Disagreement: a token that is neither the same nor a tie, or another end.
    """
    got, stops = answer.token_ids, _stops(ask)
    start = num_ties = 0
    worst = 0.0
    while start < ask.params.max_tokens:
        want = _generate(model, ask, stops, got[:start])
        num_same = next(
            (
                i
                for i, pair in enumerate(zip(got[start:], want.token_ids, strict=False))
                if pair[0] != pair[1]
            ),
            min(len(got) - start, len(want.token_ids)),
        )
        place = start + num_same
        worst = max(worst, _difference(answer, start, want.logits[:num_same]))
        if num_same == len(want.token_ids) or place == len(got):
            start = start + len(want.token_ids)
            break
        gap = (want.scores[num_same].max() - want.scores[num_same][got[place]]).item()
        if gap > TIE:
            raise Disagreement(
                f"token {place} is {got[place]}, transformers writes {want.token_ids[num_same]}, "
                f"whose logit is greater by {gap:.3g}"
            )
        num_ties += 1
        start = place + 1
        if got[place] in stops:
            break
    if len(got) != start or len(answer.logprobs) != (start if ask.params.logprobs is not None else 0):
        raise Disagreement(
            f"{len(got)} tokens, {len(answer.logprobs)} log probabilities; transformers ends after {start}"
        )
    return Verdict(len(got), num_ties, worst)


def _difference(answer: Answer, start: int, logits: torch.Tensor) -> float:
    """The greatest one of a log probability, over the tokens from `start` that `logits` tell of."""
    if not answer.logprobs or not len(logits):
        return 0.0
    rows = slice(start, start + len(logits))
    want = logits.log_softmax(-1).gather(1, torch.tensor(answer.token_ids[rows])[:, None])[:, 0]
    return (want - torch.tensor(answer.logprobs[rows])).abs().max().item()


def _stops(ask: Ask) -> list[int]:
    return [*ask.params.stop_token_ids, *([] if ask.params.ignore_eos else [tiny_models.EOS])]


def _generate(
    model: transformers.PreTrainedModel, ask: Ask, stops: list[int], known: list[int]
) -> _Reference:
    ids = torch.tensor([[*ask.prompt, *known]])
    output = model.generate(  # type: ignore[operator]  # transformers hides its type
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=ask.params.max_tokens - len(known),
        min_new_tokens=max(0, ask.params.min_tokens - len(known)),
        do_sample=False,
        repetition_penalty=ask.params.repetition_penalty,
        eos_token_id=stops or None,
        pad_token_id=tiny_models.EOS,
        return_dict_in_generate=True,
        output_logits=True,
        output_scores=True,
    )
    return _Reference(
        output.sequences[0, ids.shape[1] :].tolist(), torch.cat(output.logits), torch.cat(output.scores)
    )
