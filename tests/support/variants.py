"""Tiny models of every family, and of what its config.json may ask for."""

from typing import Any

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
DYNAMIC_ROPE = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "partial_rotary_factor": 0.75,
    "attention_factor": 1.2,
    "short_factor": [1.0, 1.1, 1.2, 1.5, 2.0, 2.5],
    "long_factor": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0],
}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-biased-tied": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama-3-rope": ("llama", {"rope_parameters": LLAMA3_ROPE, "num_key_value_heads": 4}),
    "llama-linear-rope": ("llama", {"rope_parameters": LINEAR_ROPE}),
    "llama-dynamic-rope": ("llama", {"rope_parameters": DYNAMIC_ROPE}),
    "mistral": ("mistral", {"sliding_window": 24}),
    "mistral-without-window": ("mistral", {"sliding_window": None, "tie_word_embeddings": True}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-upper-layer-slides": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    ),
    "qwen2-yarn": ("qwen2", {"rope_parameters": YARN_ROPE}),
    # As their users add it: config.json keeps the old length, and texts go beyond it.
    "qwen2-yarn-added": (
        "qwen2",
        {
            "max_position_embeddings": 64,
            "rope_parameters": {**YARN_ROPE, "factor": 8.0, "original_max_position_embeddings": 64},
        },
    ),
    "qwen3": ("qwen3", {}),
    "qwen3-tied-one-kv-head": ("qwen3", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "qwen3-lower-layer-slides": (
        "qwen3",
        {
            "use_sliding_window": True,
            "sliding_window": 9,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "phi3": ("phi3", {"sliding_window": 40}),
    "phi3-partial-rotation": ("phi3", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    "phi3-longrope-short": ("phi3", {"rope_parameters": LONG_ROPE}),
    # Every text is longer than the original length: transformers takes the long factors from the start, too.
    "phi3-longrope-long": ("phi3", {"rope_parameters": LONG_ROPE, "original_max_position_embeddings": 4}),
    # The kernels want multiples of 16: these are computed by torch alone.
    "llama-small-heads": ("llama", {"head_dim": 8}),
    "mistral-small-heads": ("mistral", {"head_dim": 24, "sliding_window": 24}),
    "qwen3-small-heads": ("qwen3", {"head_dim": 8}),
    "gemma": ("gemma", {"num_key_value_heads": 1}),
    "gemma-untied": ("gemma", {"tie_word_embeddings": False, "hidden_act": "gelu", "attention_bias": True}),
}
"""Kind of `tiny_models.KINDS`, and what its config says differently from `tiny_models.COMMON`."""
