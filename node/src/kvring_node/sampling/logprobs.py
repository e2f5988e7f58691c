"""How likely tokens were: natural logarithms of the model's own law, before any parameter.

That is `raw_logprobs`, the default of vLLM's `logprobs_mode`.
"""

from collections.abc import Callable, Sequence

import torch

from kvring_node.batch import Draw, Score
from kvring_node.messages import TokenLogprobs

AT_ONCE = 64
"""Rows of a prompt whose logits are in memory together."""


def of_tokens(logits: torch.Tensor, token_ids: Sequence[int], num_top: int) -> list[TokenLogprobs]:
    """What each row of `logits [tokens, vocab_size]` says of its token and of the `num_top` likeliest."""
    law = logits.log_softmax(dim=-1)
    own = law.gather(-1, torch.tensor(token_ids, dtype=torch.int64, device=law.device)[:, None])
    ranks = (law > own).sum(dim=-1) + 1
    best, best_ids = law.topk(min(num_top, law.shape[1]), dim=-1)
    columns = token_ids, own[:, 0].tolist(), ranks.tolist(), best_ids.tolist(), best.tolist()
    return [
        TokenLogprobs(token_id, logprob, rank, _top(ids, values))
        for token_id, logprob, rank, ids, values in zip(*columns, strict=True)
    ]


def of_draws(
    logits: torch.Tensor, draws: Sequence[Draw], token_ids: Sequence[int]
) -> list[TokenLogprobs | None]:
    """The same for the drawn tokens; None for draws that did not ask."""
    asked: dict[int, list[int]] = {}
    for row, draw in enumerate(draws):
        if draw.params.logprobs is not None:
            asked.setdefault(draw.params.logprobs, []).append(row)
    found: list[TokenLogprobs | None] = [None] * len(draws)
    for num_top, rows in asked.items():
        own = of_tokens(logits[rows], [token_ids[row] for row in rows], num_top)
        for row, one in zip(rows, own, strict=True):
            found[row] = one
    return found


def of_scores(
    hidden: torch.Tensor, scores: Sequence[Score], head: Callable[[torch.Tensor], torch.Tensor]
) -> list[list[TokenLogprobs]]:
    """The same for tokens of prompts.

    Args:
        hidden: a row for each token of all scores, one score's after another's.
        scores: which tokens followed the rows.
        head: makes logits of some rows; all at once would fill the memory for a long prompt.
    """
    found, row = [], 0
    for score in scores:
        said: list[TokenLogprobs] = []
        for start in range(0, len(score.token_ids), AT_ONCE):
            token_ids = score.token_ids[start : start + AT_ONCE]
            said += of_tokens(head(hidden[row : row + len(token_ids)]), token_ids, score.num_top)
            row += len(token_ids)
        found.append(said)
    return found


def _top(ids: list[int], values: list[float]) -> list[tuple[int, float]]:
    """Best first; the lower id first among equals, as in a greedy choice."""
    return sorted(zip(ids, values, strict=True), key=lambda pair: (-pair[1], pair[0]))
