"""One token for each draw: greedy, or by uniform numbers from what the filters leave.

What comes before what is vLLM's order: biases and penalties, then forbidden tokens, then (greedy stops here)
temperature and filters. A draw's token follows from its own row and parameters alone, whatever else is in
the batch, and each step is taken only by the rows that need it.
"""

from collections.abc import Callable, Sequence

import torch

from kvring_node.batch import Draw
from kvring_node.messages import SamplingParams
from kvring_node.sampling import filters, masks, penalties, randomness

COLDEST = 1e-5
"""Below this temperature a draw is greedy, as in vLLM."""


def tokens(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token for each row of `logits [draws, vocab_size]`, which stay as they are."""
    special = [row for row, draw in enumerate(draws) if not _is_plain(draw)]
    found = _likeliest(logits) if len(special) < len(draws) else [0] * len(draws)
    if special:
        drawn = _special(logits[special].double(), [draws[row] for row in special])
        for row, token_id in zip(special, drawn.tolist(), strict=True):
            found[row] = token_id
    return found


def _is_plain(draw: Draw) -> bool:
    return draw.params.temperature < COLDEST and not penalties.concern(draw) and not masks.concern(draw)


def _special(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    """Draws with anything to do but the argmax; `logits` are their own copy, in float64."""
    penalties.apply(logits, draws)
    masks.apply(logits, draws)
    chosen = torch.empty(len(draws), dtype=torch.int64, device=logits.device)
    kinds: dict[Callable[[torch.Tensor, list[Draw]], torch.Tensor], list[int]] = {}
    for row, draw in enumerate(draws):
        kinds.setdefault(_kind(draw.params), []).append(row)
    for choose, rows in kinds.items():
        chosen[rows] = choose(logits[rows], [draws[row] for row in rows])
    return chosen


def _kind(params: SamplingParams) -> Callable[[torch.Tensor, list[Draw]], torch.Tensor]:
    if params.temperature < COLDEST:
        return _greedy
    if params.top_k:
        return _ordered
    return _nucleus if params.top_p < 1 else _open


def _greedy(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    return torch.tensor(_likeliest(logits), device=logits.device)


def _likeliest(logits: torch.Tensor) -> list[int]:
    """The first of the largest of each row; on a CPU by numpy, which takes a tenth of torch's time."""
    if logits.device.type == "cpu":
        found: list[int] = logits.numpy().argmax(-1).tolist()
    else:
        found = logits.argmax(dim=-1).tolist()
    return found


def _open(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    weights = filters.weights(logits, [draw.params for draw in draws])
    return randomness.invert(weights, _uniforms(draws, logits.device))


def _nucleus(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    """Draws from all tokens until one is in the nucleus, and nothing has to be sorted.

    A token is in it when those before it hold less than top_p. One that is not tells that none after it is
    either, and the next draw leaves them all out (FlashInfer's sorting-free sampling).
    """
    weights = filters.weights(logits, [draw.params for draw in draws])
    enough = filters.column(weights, [draw.params.top_p for draw in draws]) * weights.sum(
        dim=-1, keepdim=True
    )
    chosen = torch.empty(len(draws), dtype=torch.int64, device=logits.device)
    rows = list(range(len(draws)))
    attempt = 0
    while rows:
        picked = randomness.invert(weights, _uniforms([draws[row] for row in rows], logits.device, attempt))
        before = filters.likelier(weights, picked)
        chosen[rows] = picked
        again = torch.nonzero(before.sum(dim=-1) >= enough[:, 0])[:, 0].tolist()
        weights, enough = before[again], enough[again]
        rows = [rows[place] for place in again]
        attempt += 1
    return chosen


def _ordered(logits: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    """Looks at the likeliest tokens only, where they suffice to tell which ones top_k and top_p keep."""
    params = [draw.params for draw in draws]
    values, token_ids = filters.head(logits)
    weights = filters.ordered_weights(values, params)
    chosen = _pick(weights, token_ids, draws)
    if values.shape[1] < logits.shape[1]:
        rows = filters.undecided(values, weights, params)
        if rows:
            theirs = [draws[row] for row in rows]
            values, token_ids = filters.whole(logits[rows])
            weights = filters.ordered_weights(values, [draw.params for draw in theirs])
            chosen[rows] = _pick(weights, token_ids, theirs)
    return chosen


def _pick(weights: torch.Tensor, token_ids: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
    picked = randomness.invert(weights, _uniforms(draws, weights.device))
    return token_ids.gather(-1, picked[:, None])[:, 0]


def _uniforms(draws: list[Draw], device: torch.device, attempt: int = 0) -> torch.Tensor:
    """Attempts of one draw take numbers of the seed's stream that no other draw comes to."""
    numbers = [draw.number + (attempt << 40) for draw in draws]
    return randomness.uniforms([draw.seed for draw in draws], numbers).to(device)
