"""Reads a Hugging Face `config.json` into the few numbers that the transformer needs."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from kvring_node.model.errors import ModelError, ModelFault


@dataclass(frozen=True)
class Family:
    """How one architecture differs from the common decoder block."""

    qk_norm: bool


FAMILIES = {
    "LlamaForCausalLM": Family(qk_norm=False),
    "Qwen3ForCausalLM": Family(qk_norm=True),
}


class RopeKind(StrEnum):
    """Rotary scalings that we compute; the values are those of `rope_type`."""

    DEFAULT = "default"
    LINEAR = "linear"
    LLAMA3 = "llama3"


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding. The last three fields matter to LLAMA3 only."""

    kind: RopeKind
    theta: float
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_positions: int = 8192


@dataclass(frozen=True)
class ModelConfig:
    """Shape and constants of one model."""

    family: Family
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    rms_norm_eps: float
    rope: Rope
    tied_embeddings: bool
    attention_bias: bool
    mlp_bias: bool
    dtype: str


def read(folder: Path) -> ModelConfig:
    """Reads `folder/config.json`.

    Raises:
        ModelError: the folder or file is missing or broken, or the architecture is none of `FAMILIES`.
    """
    if not folder.is_dir():
        raise ModelError(
            ModelFault.NOT_FOUND,
            f"{folder} is not a folder; point the model URI at one that holds config.json",
        )
    return parse(read_json(folder / "config.json"))


def parse(raw: Mapping[str, Any]) -> ModelConfig:
    """Turns the content of a config.json into a ModelConfig.

    Raises:
        ModelError: unknown architecture, unsupported feature, or a key that is missing or of the wrong kind.
    """
    try:
        return _parse(raw)
    except KeyError as error:
        raise ModelError(ModelFault.CORRUPT, f"config.json lacks {error}; fetch the model again") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            ModelFault.CORRUPT, f"config.json has a wrong value ({error}); fetch the model again"
        ) from error


def eos_token_ids(folder: Path) -> frozenset[int]:
    """Token ids that end a text: from generation_config.json, else from config.json, as `generate` does.

    Raises:
        ModelError: one of them is no number.
    """
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        value = read_json(path).get("eos_token_id") if path.exists() else None
        if value is not None:
            ids = value if isinstance(value, list) else [value]
            if not all(isinstance(one, int) for one in ids):
                raise ModelError(
                    ModelFault.CORRUPT, f"{path} has eos_token_id {value!r}, no token id; fetch it again"
                )
            return frozenset(ids)
    return frozenset()


def read_json(path: Path) -> dict[str, Any]:
    """Reads one JSON object of a model folder.

    Raises:
        ModelError: the file is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(ModelFault.INCOMPLETE, f"{path} is missing; fetch the whole model folder") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            ModelFault.CORRUPT, f"{path} cannot be read ({error}); fetch the model again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(ModelFault.CORRUPT, f"{path} holds no JSON object; fetch the model again")
    return content


def _parse(raw: Mapping[str, Any]) -> ModelConfig:
    num_heads = _size(raw["num_attention_heads"])
    hidden_size = _size(raw["hidden_size"])
    max_positions = _size(raw["max_position_embeddings"])
    family = _family(raw)
    _refuse_unsupported(raw)
    return ModelConfig(
        family=family,
        vocab_size=_size(raw["vocab_size"]),
        hidden_size=hidden_size,
        intermediate_size=_size(raw["intermediate_size"]),
        num_layers=_size(raw["num_hidden_layers"]),
        num_heads=num_heads,
        num_kv_heads=_size(raw.get("num_key_value_heads") or num_heads),
        head_dim=_size(raw.get("head_dim") or hidden_size // num_heads),
        max_positions=max_positions,
        rms_norm_eps=float(raw["rms_norm_eps"]),
        rope=_rope(raw, max_positions),
        tied_embeddings=bool(raw.get("tie_word_embeddings", False)),
        attention_bias=bool(raw.get("attention_bias", False)),
        mlp_bias=bool(raw.get("mlp_bias", False)),
        dtype=str(raw.get("dtype") or raw.get("torch_dtype") or "float32"),
    )


def _size(value: Any) -> int:
    if int(value) < 1:
        raise ValueError(f"{value} where a size above 0 belongs")
    return int(value)


def _family(raw: Mapping[str, Any]) -> Family:
    names = raw.get("architectures") or ["none"]
    if names[0] not in FAMILIES:
        raise ModelError(
            ModelFault.UNSUPPORTED_FAMILY,
            f"architecture {names[0]} is not supported; choose a model of {', '.join(FAMILIES)}",
        )
    return FAMILIES[names[0]]


def _refuse_unsupported(raw: Mapping[str, Any]) -> None:
    if raw.get("hidden_act", "silu") != "silu":
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE, f"hidden_act {raw['hidden_act']} is not supported; only silu is"
        )
    if raw.get("quantization_config"):
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            "quantised weights (quantization_config) are not supported; choose the model in bfloat16",
        )
    if _slides(raw):
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            "sliding window attention is not supported; choose a model with use_sliding_window false",
        )


def _slides(raw: Mapping[str, Any]) -> bool:
    """Some models state a window and say that they do not use it; a window without a word is used."""
    if set(raw.get("layer_types") or ()) - {"full_attention"}:
        return True
    return bool(raw.get("use_sliding_window", raw.get("sliding_window") is not None))


def _rope(raw: Mapping[str, Any], max_positions: int) -> Rope:
    """Reads both spellings: `rope_parameters` (transformers 5), `rope_theta` and `rope_scaling` (before).

    Where both are there, `rope_scaling` counts, as in transformers.
    """
    scaling = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind not in set(RopeKind):
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            f"rope scaling {kind} is not supported; only {', '.join(RopeKind)} are",
        )
    partial = scaling.get("partial_rotary_factor") or raw.get("partial_rotary_factor") or 1.0
    if partial != 1 or any(isinstance(value, dict) for value in scaling.values()):
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            "partial rotation (partial_rotary_factor) and a rope for each kind of layer are not supported; "
            "choose another model",
        )
    rope = Rope(
        kind=RopeKind(kind),
        theta=float(scaling.get("rope_theta") or raw.get("rope_theta") or 10_000.0),
    )
    if rope.kind is RopeKind.DEFAULT:
        return rope
    factor = float(scaling["factor"])
    if not factor > 0:
        raise ValueError(f"rope factor {factor}")
    if rope.kind is RopeKind.LINEAR:
        return dataclasses.replace(rope, factor=factor)
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    if not low < high:
        raise ValueError(f"low_freq_factor {low} is not below high_freq_factor {high}")
    return dataclasses.replace(
        rope,
        factor=factor,
        low_freq_factor=low,
        high_freq_factor=high,
        original_max_positions=int(scaling.get("original_max_position_embeddings") or max_positions),
    )
