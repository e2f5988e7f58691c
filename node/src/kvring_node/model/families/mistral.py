"""Mistral (Jiang et al., arXiv 2310.06825): Llama that looks back through a window."""

from collections.abc import Mapping
from typing import Any

from kvring_node.model.families import windows
from kvring_node.model.families.family import Family, Traits


def _traits(raw: Mapping[str, Any]) -> Traits:
    return Traits(windows=windows.same(raw))


MISTRAL = Family(
    defaults={
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "sliding_window": 4096,
    },
    traits=_traits,
)
