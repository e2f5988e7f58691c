"""Reads a Hugging Face `config.json` into the few numbers that the transformer needs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvring_node.model import rope
from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.model.families.family import Activation, Family, Traits
from kvring_node.model.families.registry import FAMILIES
from kvring_node.model.rope import Rope

MOST = 1 << 24
"""No size of a model is greater; a config.json that says so is broken, and would cost memory to believe."""


@dataclass(frozen=True)
class ModelConfig:
    """Shape and constants of one model."""

    traits: Traits
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    rms_norm_eps: float
    activation: Activation
    rope: Rope
    tied_embeddings: bool
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
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(
            ModelFault.CORRUPT, f"config.json has a wrong value ({error}); fetch the model again"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads one JSON object of a model folder.

    Raises:
        ModelError: the file is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(ModelFault.INCOMPLETE, f"{path} is missing; fetch the whole model folder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            ModelFault.CORRUPT, f"{path} cannot be read ({error}); fetch the model again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(ModelFault.CORRUPT, f"{path} holds no JSON object; fetch the model again")
    return content


def read_json_if_there(path: Path) -> dict[str, Any]:
    """The same of a file that a model folder may lack: nothing then.

    Raises:
        ModelError: the file is no JSON object.
    """
    return read_json(path) if path.exists() else {}


def _parse(given: Mapping[str, Any]) -> ModelConfig:
    family = _family(given)
    raw = {"hidden_act": "silu", **family.defaults, **given}
    num_heads = _size(raw["num_attention_heads"])
    hidden_size = _size(raw["hidden_size"])
    max_positions = _size(raw["max_position_embeddings"])
    num_kv_heads = _size(raw.get("num_key_value_heads") or num_heads)
    if num_heads % num_kv_heads:
        raise ValueError(f"{num_heads} heads do not share {num_kv_heads} heads of keys evenly")
    head_dim = _size(raw.get("head_dim") or hidden_size // num_heads)
    _size(raw["num_hidden_layers"])
    traits = family.traits(raw)
    _refuse_unsupported(raw, traits)
    scaled = rope.parse(raw, head_dim, max_positions)
    return ModelConfig(
        traits=traits,
        vocab_size=_size(raw["vocab_size"]),
        hidden_size=hidden_size,
        intermediate_size=_size(raw["intermediate_size"]),
        num_layers=len(traits.windows),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        max_positions=_size(rope.reach(scaled, max_positions)),
        rms_norm_eps=float(raw["rms_norm_eps"]),
        activation=_activation(raw["hidden_act"], family),
        rope=scaled,
        tied_embeddings=bool(raw["tie_word_embeddings"]),
        dtype=str(raw.get("dtype") or raw.get("torch_dtype") or "float32"),
    )


def _size(value: Any) -> int:
    if not 1 <= int(value) <= MOST:
        raise ValueError(f"{value} where a size from 1 to {MOST} belongs")
    return int(value)


def _family(raw: Mapping[str, Any]) -> Family:
    names = raw.get("architectures") or ["none"]
    if names[0] not in FAMILIES:
        raise ModelError(
            ModelFault.UNSUPPORTED_FAMILY,
            f"architecture {names[0]} is not supported; choose a model of {', '.join(FAMILIES)}",
        )
    return FAMILIES[names[0]]


def _activation(name: Any, family: Family) -> Activation:
    if name not in family.activations:
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            f"hidden_act {name} is not supported in this family; only {', '.join(family.activations)} is",
        )
    return family.activations[name]


def _refuse_unsupported(raw: Mapping[str, Any], traits: Traits) -> None:
    if raw.get("quantization_config"):
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            "quantised weights (quantization_config) are not supported; choose the model in bfloat16",
        )
    if raw.get("use_bidirectional_attention") or not raw.get("is_causal", True):
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            "attention to what comes later (use_bidirectional_attention, is_causal false) is not supported: "
            "such a model embeds texts; choose one that writes",
        )
    if rope.rotating_share(raw) != 1 and not traits.partial_rotation:
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            "partial rotation (partial_rotary_factor) is not supported in this family; choose another model",
        )
