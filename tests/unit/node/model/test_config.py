"""What is read from config.json, in every spelling."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvring_node.model import config as model_config
from kvring_node.model import rotary
from kvring_node.model.errors import ModelError
from kvring_node.model.families.registry import FAMILIES

BASE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 10,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 64,
}


def test_both_spellings_of_rope_are_read() -> None:
    llama3 = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    new = {**BASE, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **llama3}}
    old = {**BASE, "rope_theta": 5e5, "rope_scaling": {"type": "llama3", **llama3}}
    assert model_config.parse(new) == model_config.parse(old)
    assert model_config.parse(BASE).rope.theta == 10_000.0
    both = {**old, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    assert model_config.parse(both) == model_config.parse(old)


@pytest.mark.parametrize(
    ("sentence", "scaling", "longest"),
    [
        ("nothing is scaled", {"rope_type": "default"}, 64),
        ("Qwen's makers: add this to reach 4 times as far",
         {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 256),
        ("Qwen3's own length is no multiple of the original",
         {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 48}, 192),
        ("a model that was trained so names its whole length",
         {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}, 64),
        ("a linear one stretches the length that the config names", {"type": "linear", "factor": 2.5}, 160),
        ("nothing gets shorter", {"type": "linear", "factor": 0.5}, 64),
        ("a dynamic one begins where we end", {"type": "dynamic", "factor": 2.0}, 64),
        ("Llama 3 names its whole length",
         {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}, 64),
        ("so does Phi-3",
         {"type": "longrope", "short_factor": [1.0] * 2, "long_factor": [2.0] * 2, "factor": 4.0}, 64),
    ],
)  # fmt: skip
def test_how_far_a_scaled_rope_reaches(sentence: str, scaling: dict[str, Any], longest: int) -> None:
    assert model_config.parse({**BASE, "rope_scaling": scaling}).max_positions == longest, sentence


def test_a_factor_beyond_all_measure_is_refused() -> None:
    with pytest.raises(ModelError, match="size from 1"):
        model_config.parse({**BASE, "rope_scaling": {"type": "linear", "factor": 1e9}})


KEYS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps"),
    *("tie_word_embeddings", "attention_bias", "mlp_bias", "sliding_window", "use_sliding_window"),
    *("layer_types", "max_window_layers", "rope_theta", "rope_scaling", "rope_parameters"),
    *("partial_rotary_factor", "original_max_position_embeddings", "quantization_config", "dtype"),
)
SCALING_KEYS = (
    *("rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor"),
    *("short_factor", "long_factor", "attention_factor", "mscale", "mscale_all_dim", "beta_fast"),
    *("original_max_position_embeddings", "partial_rotary_factor"),
)
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["yarn", "llama3", "longrope", "linear", "silu", "sliding_attention", ""])
)
anything = plain | st.lists(plain, max_size=3) | st.dictionaries(st.sampled_from(SCALING_KEYS), plain)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(FAMILIES)), st.dictionaries(st.sampled_from(KEYS), anything, max_size=5))
def test_whatever_a_config_says_it_is_read_or_refused(architecture: str, raw: dict[str, Any]) -> None:
    read_or_refuse({"architectures": [architecture], **raw})


ROPES: list[dict[str, Any]] = [
    {"rope_type": "linear", "factor": 2.0},
    {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0, "mscale_all_dim": 1.0},
    {"rope_type": "longrope", "short_factor": [1.0] * 64, "long_factor": [2.0] * 64},
]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(ROPES), st.dictionaries(st.sampled_from(SCALING_KEYS), anything, max_size=2))
def test_whatever_a_rope_scaling_says_it_is_read_or_refused(
    good: dict[str, Any], spoilt: dict[str, Any]
) -> None:
    read_or_refuse({"architectures": ["LlamaForCausalLM"], "rope_parameters": {**good, **spoilt}})


def read_or_refuse(raw: dict[str, Any]) -> None:
    try:
        config = model_config.parse(raw)
    except ModelError:
        return
    assert rotary.make_table(config.rope, 2).isfinite().all()
