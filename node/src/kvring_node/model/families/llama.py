"""Llama 1 to 3 (Touvron et al., arXiv 2302.13971): the plain block, with biases where config.json asks."""

from collections.abc import Mapping
from typing import Any

from kvring_node.model.families import windows
from kvring_node.model.families.family import Family, Traits


def _traits(raw: Mapping[str, Any]) -> Traits:
    bias = bool(raw["attention_bias"])
    return Traits(windows=windows.none(raw), qkv_bias=bias, output_bias=bias, mlp_bias=bool(raw["mlp_bias"]))


LLAMA = Family(
    defaults={
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
    },
    traits=_traits,
)
