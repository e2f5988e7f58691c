"""Rotary position embedding as config.json asks for it; `rotary` computes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kvring_node.model.errors import ModelError, ModelFault

MOST_POSITIONS = 1 << 31
MOST_NUMBER = 1e12
"""Beyond what any model says, and still harmless in float32."""

DEFAULT_THETA = 10_000.0


@dataclass(frozen=True)
class Rope:
    """Unscaled. The first `width` of a head's numbers rotate, the slowest about once in `theta` tokens."""

    theta: float
    width: int


@dataclass(frozen=True)
class LinearRope(Rope):
    """Positions divided by `factor`."""

    factor: float


@dataclass(frozen=True)
class Llama3Rope(LinearRope):
    """Low frequencies divided by `factor`, high ones kept; the bounds count turns over the old length."""

    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True)
class YarnRope(LinearRope):
    """The same idea with a ramp over the numbers of a head, and longer vectors (arXiv 2309.00071)."""

    beta_fast: float
    beta_slow: float
    truncate: bool
    original_max_positions: int
    mscale: float | None
    mscale_all_dim: float | None
    attention_factor: float | None


@dataclass(frozen=True)
class LongRope(Rope):
    """A factor for each frequency, of two sets (arXiv 2402.13753)."""

    short_factors: tuple[float, ...]
    long_factors: tuple[float, ...]
    original_max_positions: int
    factor: float
    attention_factor: float | None


def parse(raw: Mapping[str, Any], head_dim: int, max_positions: int) -> Rope:
    """Reads both spellings: `rope_parameters` (transformers 5), `rope_theta` and `rope_scaling` (before).

    Where both are there, `rope_scaling` counts, as in transformers.

    Raises:
        ModelError: a scaling that we do not compute.
        KeyError: a scaling lacks a number.
        ValueError: a number makes no sense.
    """
    scaling = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    if any(isinstance(value, dict) for value in scaling.values()):
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            "a rope for each kind of layer is not supported; choose another model",
        )
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if "long_factor" in scaling:  # the first releases of Phi-3 call it su or yarn
        kind = "longrope"
    if kind not in _READERS:
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            f"rope scaling {kind} is not supported; only {', '.join(_READERS)} are",
        )
    plain = Rope(
        theta=_positive("rope_theta", scaling.get("rope_theta") or raw.get("rope_theta") or DEFAULT_THETA),
        width=int(head_dim * rotating_share(raw)),
    )
    if plain.width < 2 or plain.width % 2 or plain.width > head_dim or not plain.theta > 1:
        raise ValueError(f"no rotation of {plain.width} of {head_dim} numbers in {plain.theta} tokens")
    original = (
        raw.get("original_max_position_embeddings")
        or scaling.get("original_max_position_embeddings")
        or max_positions
    )
    if not 1 < int(original) <= MOST_POSITIONS:
        raise ValueError(f"original_max_position_embeddings {original}")
    return _READERS[kind](plain, {**scaling, "original": int(original), "max": max_positions})


def reach(rope: Rope, max_positions: int) -> int:
    """Positions that a model with `max_position_embeddings` of `max_positions` can tell apart.

    Yarn reaches `factor` times the original length: models that were trained with it say so in
    `max_position_embeddings`, those to which their users add it, as the makers of Qwen advise, do not.
    A linear scaling stretches what `max_position_embeddings` says, as in vLLM. The others name it all.
    """
    match rope:
        case YarnRope():
            return max(max_positions, int(rope.original_max_positions * rope.factor))
        case LinearRope() if not isinstance(rope, Llama3Rope):
            return max(max_positions, int(max_positions * rope.factor))
        case _:
            return max_positions


def rotating_share(raw: Mapping[str, Any]) -> float:
    """Which share of a head rotates."""
    scaling = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    return float(scaling.get("partial_rotary_factor") or raw.get("partial_rotary_factor") or 1.0)


def _plain(rope: Rope, _: Mapping[str, Any]) -> Rope:
    """Also for `dynamic`: it scales from `max_position_embeddings` on, where we end."""
    return rope


def _linear(rope: Rope, scaling: Mapping[str, Any]) -> Rope:
    return LinearRope(rope.theta, rope.width, _positive("rope factor", scaling["factor"]))


def _llama3(rope: Rope, scaling: Mapping[str, Any]) -> Rope:
    factor = _positive("rope factor", scaling["factor"])
    low, high = (_positive(name, scaling[name]) for name in ("low_freq_factor", "high_freq_factor"))
    if not low < high:
        raise ValueError(f"low_freq_factor {low} is not below high_freq_factor {high}")
    return Llama3Rope(rope.theta, rope.width, factor, low, high, scaling["original"])


def _yarn(rope: Rope, scaling: Mapping[str, Any]) -> Rope:
    return YarnRope(
        rope.theta,
        rope.width,
        _positive("rope factor", scaling["factor"]),
        beta_fast=_positive("beta_fast", scaling.get("beta_fast") or 32),
        beta_slow=_positive("beta_slow", scaling.get("beta_slow") or 1),
        truncate=bool(scaling.get("truncate", True)),
        original_max_positions=scaling["original"],
        mscale=_if_given(scaling, "mscale"),
        mscale_all_dim=_if_given(scaling, "mscale_all_dim"),
        attention_factor=_if_given(scaling, "attention_factor"),
    )


def _longrope(rope: Rope, scaling: Mapping[str, Any]) -> Rope:
    short, long = (
        tuple(_positive(name, factor) for factor in scaling[name]) for name in ("short_factor", "long_factor")
    )
    if {len(short), len(long)} != {rope.width // 2}:
        raise ValueError(f"{len(short)} short and {len(long)} long factors for {rope.width // 2} frequencies")
    return LongRope(
        rope.theta,
        rope.width,
        short,
        long,
        original_max_positions=scaling["original"],
        factor=_if_given(scaling, "factor") or scaling["max"] / scaling["original"],
        attention_factor=_if_given(scaling, "attention_factor"),
    )


def _if_given(scaling: Mapping[str, Any], name: str) -> float | None:
    return _positive(name, scaling[name]) if scaling.get(name) else None


def _positive(name: str, value: Any) -> float:
    if not 1 / MOST_NUMBER < float(value) < MOST_NUMBER:
        raise ValueError(f"{name} {value}")
    return float(value)


_READERS: dict[str, Callable[[Rope, Mapping[str, Any]], Rope]] = {
    "default": _plain,
    "dynamic": _plain,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
