"""Rotary position embedding: tables computed once, applied by two multiplications.

Su et al., RoFormer (arXiv 2104.09864). The scalings follow transformers' `modeling_rope_utils`, whose results
the tests compare.
"""

import math

import torch

from kvring_node.model.rope import LinearRope, Llama3Rope, LongRope, Rope, YarnRope


def make_table(rope: Rope, num_positions: int) -> torch.Tensor:
    """Cosines and signed sines, float32 `[num_positions, 2, rope.width]`; `rotate` says why signed."""
    frequencies, length = _scaled(rope, num_positions)
    angles = torch.outer(torch.arange(num_positions, dtype=torch.float32), frequencies)
    cos, sin = angles.cos() * length, angles.sin() * length
    return torch.stack((torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)), dim=1)


def rotate(heads: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Rotates `heads [tokens, num_heads, head_dim]` by rows `table [tokens, 2, width]`, width <= head_dim.

    A pair (x1, x2) becomes (x1 cos - x2 sin, x2 cos + x1 sin). Rolling by half the width swaps the halves,
    and the minus lives in the table.
    """
    width = table.shape[-1]
    cos, signed_sin = table[:, None, 0], table[:, None, 1]
    turning = heads[..., :width]
    turned = torch.addcmul(turning * cos, turning.roll(width // 2, dims=-1), signed_sin)
    return turned if width == heads.shape[-1] else torch.cat((turned, heads[..., width:]), dim=-1)


def _scaled(rope: Rope, num_positions: int) -> tuple[torch.Tensor, float]:
    """Frequencies `[width / 2]`, and what the rotated vectors' length is multiplied by."""
    plain = 1.0 / _wavelengths(rope)
    match rope:
        case Llama3Rope():
            return _llama3(rope, plain), 1.0
        case YarnRope():
            return _yarn(rope, plain), _yarn_length(rope)
        case LinearRope():
            return plain / rope.factor, 1.0
        case LongRope():
            return _longrope(rope, num_positions), _longrope_length(rope)
        case _:
            return plain, 1.0


def _wavelengths(rope: Rope) -> torch.Tensor:
    """In tokens a radian."""
    return rope.theta ** (torch.arange(0, rope.width, 2, dtype=torch.float32) / rope.width)


def _llama3(rope: Llama3Rope, frequencies: torch.Tensor) -> torch.Tensor:
    """Keeps high frequencies, divides low ones by `factor`, and blends those between."""
    wavelengths = 2 * math.pi / frequencies
    low, high = rope.low_freq_factor, rope.high_freq_factor
    blend = ((rope.original_max_positions / wavelengths - low) / (high - low)).clamp(0.0, 1.0)
    return (1 - blend) * frequencies / rope.factor + blend * frequencies


def _yarn(rope: YarnRope, frequencies: torch.Tensor) -> torch.Tensor:
    """Keeps the first frequencies, divides the last by `factor`, with a linear ramp between."""

    def place(num_turns: float) -> float:
        """Which frequency makes so many turns over the original length."""
        turns = math.log(rope.original_max_positions / (num_turns * 2 * math.pi))
        return rope.width * turns / (2 * math.log(rope.theta))

    first, last = place(rope.beta_fast), place(rope.beta_slow)
    if rope.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rope.width - 1)
    span = last - first or 0.001
    ramp = ((torch.arange(rope.width // 2, dtype=torch.float32) - first) / span).clamp(0.0, 1.0)
    return frequencies / rope.factor * ramp + frequencies * (1 - ramp)


def _yarn_length(rope: YarnRope) -> float:
    if rope.attention_factor is not None:
        return rope.attention_factor

    def growth(scale: float) -> float:
        return 1.0 if rope.factor <= 1 else 0.1 * scale * math.log(rope.factor) + 1.0

    if rope.mscale and rope.mscale_all_dim:
        return growth(rope.mscale) / growth(rope.mscale_all_dim)
    return growth(1.0)


def _longrope(rope: LongRope, num_positions: int) -> torch.Tensor:
    """One set for all positions: a prefix that was rotated by the short set is no use to a longer text.

    transformers changes sets, and computes all again, when a text outgrows the original length. vLLM, and
    we, choose by the longest text that is served.
    """
    factors = rope.long_factors if num_positions > rope.original_max_positions else rope.short_factors
    return 1.0 / (torch.tensor(factors) * _wavelengths(rope))


def _longrope_length(rope: LongRope) -> float:
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.factor <= 1:
        return 1.0
    return math.sqrt(1 + math.log(rope.factor) / math.log(rope.original_max_positions))
