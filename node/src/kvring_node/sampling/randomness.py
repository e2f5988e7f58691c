"""One uniform number a draw, and the token that it picks.

The number is a function of (seed, index of the draw), so a seed gives the same text alone, in any batch and
after a preemption, and there is no generator to carry along.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


def uniforms(seeds: Sequence[int], numbers: Sequence[int]) -> torch.Tensor:
    """For each pair a number in [0, 1), float64: that of the seed's SplitMix64 stream (Steele, OOPSLA 2014).

    Seeds count modulo 2**64, numbers from 0.
    """
    states = _mix(np.array([seed & _MASK for seed in seeds], dtype=np.uint64))
    steps = np.array(numbers, dtype=np.uint64) + np.uint64(1)
    words = _mix(states + steps * _GOLDEN)  # arrays of uint64 wrap around without a warning
    return torch.from_numpy((words >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def invert(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """For each row of `weights [rows, tokens]` the first index whose cumulative share exceeds its uniform.

    An index without weight is never picked: the cumulative weight must rise above the target there, and
    the target lies below the total even where rounding would lift it. Weights that are no numbers, as of a
    model that overflowed, pick the last: nonsense, but a token, so that the other rows need not suffer.
    """
    cumulative = weights.cumsum(dim=-1)
    total = cumulative[:, -1:]
    targets = torch.minimum(uniforms[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, targets, right=True)[:, 0].clamp_max(weights.shape[1] - 1)


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
