"""Qwen2 and Qwen2.5 (arXiv 2407.10671): biases on queries, keys and values; upper layers may slide."""

from collections.abc import Mapping
from typing import Any

from kvring_node.model.families import windows
from kvring_node.model.families.family import Family, Traits


def _traits(raw: Mapping[str, Any]) -> Traits:
    return Traits(windows=windows.by_layer(raw), qkv_bias=True)


QWEN2 = Family(
    defaults={
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
    traits=_traits,
)
