"""Phi-3 and Phi-4-mini (arXiv 2404.14219): fused projections; a part of each head may stay unrotated."""

from collections.abc import Mapping
from typing import Any

from kvring_node.model.families import windows
from kvring_node.model.families.family import Family, Traits


def _traits(raw: Mapping[str, Any]) -> Traits:
    return Traits(windows=windows.same(raw), fused=True, partial_rotation=True)


PHI3 = Family(
    defaults={
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "sliding_window": None,
    },
    traits=_traits,
)
