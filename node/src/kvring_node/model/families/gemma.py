"""Gemma, the first (arXiv 2403.08295): zero-centred norms, scaled embeddings, GELU in the MLP."""

from collections.abc import Mapping
from typing import Any

from kvring_node.model.families import windows
from kvring_node.model.families.family import Activation, Family, Traits


def _traits(raw: Mapping[str, Any]) -> Traits:
    bias = bool(raw["attention_bias"])
    return Traits(
        windows=windows.none(raw),
        qkv_bias=bias,
        output_bias=bias,
        zero_centred_norms=True,
        scaled_embedding=True,
    )


GEMMA = Family(
    defaults={
        "vocab_size": 256000,
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "attention_bias": False,
    },
    traits=_traits,
    # The first releases say gelu and mean its approximation by tanh.
    activations={"gelu": Activation.GELU_TANH, "gelu_pytorch_tanh": Activation.GELU_TANH},
)
