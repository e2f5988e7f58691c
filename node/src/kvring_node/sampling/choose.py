"""One token for each draw: greedy, or by one uniform number from what the filters leave.

What comes before what is vLLM's order: biases and penalties, then forbidden tokens, then (greedy stops here)
temperature and filters. A draw's token follows from its own row and parameters alone, whatever else is in
the batch, and each step is taken only by the rows that need it.
"""

from collections.abc import Sequence

import torch

from kvring_node.batch import Draw
from kvring_node.sampling import filters, masks, penalties, randomness

COLDEST = 1e-5
"""Below this temperature a draw is greedy, as in vLLM."""


def tokens(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token for each row of `logits [draws, vocab_size]`, which stay as they are."""
    special = [row for row, draw in enumerate(draws) if not _is_plain(draw)]
    if len(special) < len(draws):
        chosen = logits.argmax(dim=-1)
    else:
        chosen = torch.empty(len(draws), dtype=torch.int64, device=logits.device)
    if special:
        chosen[special] = _special(logits[special].double(), [draws[row] for row in special])
    found: list[int] = chosen.tolist()
    return found


def _is_plain(draw: Draw) -> bool:
    return draw.params.temperature < COLDEST and not penalties.concern(draw) and not masks.concern(draw)


def _special(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    """Draws with anything to do but the argmax; `logits` are their own copy, in float64."""
    penalties.apply(logits, draws)
    masks.apply(logits, draws)
    chosen = torch.empty(len(draws), dtype=torch.int64, device=logits.device)
    greedy: list[int] = []
    unordered: list[int] = []
    ordered: list[int] = []
    for row, draw in enumerate(draws):
        if draw.params.temperature < COLDEST:
            greedy.append(row)
        else:
            (ordered if filters.needs_order(draw.params) else unordered).append(row)
    for rows, choose in ((greedy, _greedy), (unordered, _unordered), (ordered, _ordered)):
        if rows:
            chosen[rows] = choose(logits[rows], [draws[row] for row in rows])
    return chosen


def _greedy(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    return logits.argmax(dim=-1)


def _unordered(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    weights = filters.weights(logits, [draw.params for draw in draws])
    return randomness.invert(weights, _uniforms(draws, logits.device))


def _ordered(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    params = [draw.params for draw in draws]
    values, token_ids = filters.head(logits)
    weights = filters.ordered_weights(values, logits, params)
    chosen = _pick(weights, token_ids, draws)
    if values.shape[1] < logits.shape[1]:
        rows = filters.undecided(values, weights, params)
        if rows:
            rest, their_draws = logits[rows], [draws[row] for row in rows]
            values, token_ids = filters.whole(rest)
            weights = filters.ordered_weights(values, rest, [draw.params for draw in their_draws])
            chosen[rows] = _pick(weights, token_ids, their_draws)
    return chosen


def _pick(weights: torch.Tensor, token_ids: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    picked = randomness.invert(weights, _uniforms(draws, weights.device))
    return token_ids.gather(-1, picked[:, None])[:, 0]


def _uniforms(draws: list[Draw], device: torch.device) -> torch.Tensor:
    return randomness.uniforms([draw.seed for draw in draws], [draw.number for draw in draws]).to(device)
