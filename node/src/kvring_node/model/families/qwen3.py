"""Qwen3 (arXiv 2505.09388): Qwen2 with normalised queries and keys in place of their biases."""

from collections.abc import Mapping
from typing import Any

from kvring_node.model.families import windows
from kvring_node.model.families.family import Family, Traits
from kvring_node.model.families.qwen2 import QWEN2


def _traits(raw: Mapping[str, Any]) -> Traits:
    bias = bool(raw["attention_bias"])
    return Traits(windows=windows.by_layer(raw), qkv_bias=bias, output_bias=bias, qk_norm=True)


QWEN3 = Family(defaults={**QWEN2.defaults, "head_dim": 128, "attention_bias": False}, traits=_traits)
