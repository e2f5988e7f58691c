"""Chooses tokens: greedy, or by temperature and nucleus from one uniform number a draw.

The number is a function of (seed, index of the draw), so a seed gives the same text alone, in any batch and
after a preemption, and there is no generator to carry along.
"""

import torch

from kvring_node.batch import Draw

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def uniform(seed: int, index: int) -> float:
    """A number in [0, 1): draw `index` of the SplitMix64 stream of `seed` (Steele et al., OOPSLA 2014)."""
    word = _mix(_mix(seed & _MASK) + (index + 1) * _GOLDEN & _MASK)
    return (word >> 11) * 2.0**-53


def choose(logits: torch.Tensor, draws: list[Draw]) -> list[int]:
    """One token for each row of `logits [draws, vocab_size]`."""
    tokens = logits.argmax(dim=-1)
    sampled = [i for i, draw in enumerate(draws) if draw.params.temperature > 0]
    nucleus = [i for i in sampled if draws[i].params.top_p < 1]
    plain = [i for i in sampled if draws[i].params.top_p >= 1]
    if plain:
        tokens[plain] = _invert(_probabilities(logits, draws, plain), _uniforms(draws, plain, logits.device))
    if nucleus:
        tokens[nucleus] = _nucleus(logits, draws, nucleus)
    chosen: list[int] = tokens.tolist()
    return chosen


def _nucleus(logits: torch.Tensor, draws: list[Draw], rows: list[int]) -> torch.Tensor:
    """Draws from the fewest likeliest tokens that hold `top_p` (Holtzman et al., arXiv 1904.09751)."""
    probabilities, order = _probabilities(logits, draws, rows).sort(dim=-1, descending=True, stable=True)
    top_p = torch.tensor([draws[i].params.top_p for i in rows], dtype=torch.float64, device=logits.device)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept = probabilities.masked_fill(before >= top_p[:, None], 0.0)
    return order.gather(-1, _invert(kept, _uniforms(draws, rows, logits.device))[:, None])[:, 0]


def _probabilities(logits: torch.Tensor, draws: list[Draw], rows: list[int]) -> torch.Tensor:
    temperature = torch.tensor(
        [draws[i].params.temperature for i in rows], dtype=torch.float64, device=logits.device
    )
    return (logits[rows].double() / temperature[:, None]).softmax(dim=-1)


def _invert(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Inverse of the cumulative weights: the first index that exceeds the share `uniforms` of the total."""
    cumulative = weights.cumsum(dim=-1)
    targets = uniforms[:, None] * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, targets, right=True)[:, 0]
    last = (weights > 0).long().cumsum(-1).argmax(-1)  # rounding must not choose a token of no weight
    return torch.minimum(found, last)


def _uniforms(draws: list[Draw], rows: list[int], device: torch.device) -> torch.Tensor:
    return torch.tensor(
        [uniform(draws[i].seed, draws[i].number) for i in rows], dtype=torch.float64, device=device
    )


def _mix(word: int) -> int:
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _MASK
    return word ^ (word >> 31)
