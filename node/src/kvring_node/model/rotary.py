"""Rotary position embedding: tables computed once, applied by two multiplications.

Su et al., RoFormer (arXiv 2104.09864); the scaling of Llama 3.1 follows Meta's reference code.
"""

import math

import torch

from kvring_node.model.config import Rope, RopeKind


def make_table(rope: Rope, head_dim: int, num_positions: int) -> torch.Tensor:
    """Cosines and signed sines, float32 `[num_positions, 2, head_dim]`; `rotate` says why signed."""
    angles = torch.outer(torch.arange(num_positions, dtype=torch.float32), _frequencies(rope, head_dim))
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)), dim=1)


def rotate(heads: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Rotates `heads [tokens, num_heads, head_dim]` by rows `table [tokens, 2, head_dim]`.

    A pair (x1, x2) becomes (x1 cos - x2 sin, x2 cos + x1 sin). Rolling by half a head swaps the halves, and
    the minus lives in the table.
    """
    cos, signed_sin = table[:, None, 0], table[:, None, 1]
    swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads * cos, swapped, signed_sin)


def _frequencies(rope: Rope, head_dim: int) -> torch.Tensor:
    frequencies = 1.0 / (rope.theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    match rope.kind:
        case RopeKind.DEFAULT:
            return frequencies
        case RopeKind.LINEAR:
            return frequencies / rope.factor
        case RopeKind.LLAMA3:
            return _llama3(rope, frequencies)


def _llama3(rope: Rope, frequencies: torch.Tensor) -> torch.Tensor:
    """Keeps high frequencies, divides low ones by `factor`, and blends those between."""
    wavelengths = 2 * math.pi / frequencies
    low, high = rope.low_freq_factor, rope.high_freq_factor
    blend = ((rope.original_max_positions / wavelengths - low) / (high - low)).clamp(0.0, 1.0)
    return (1 - blend) * frequencies / rope.factor + blend * frequencies
