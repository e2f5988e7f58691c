"""What is read from config.json and generation_config.json, in every spelling."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvring_node.model import config as model_config


def test_both_spellings_of_rope_are_read() -> None:
    base: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": 10,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 64,
    }
    llama3 = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    new = {**base, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **llama3}}
    old = {**base, "rope_theta": 5e5, "rope_scaling": {"type": "llama3", **llama3}}
    assert model_config.parse(new) == model_config.parse(old)
    assert model_config.parse(base).rope.theta == 10_000.0
    both = {**old, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    assert model_config.parse(both) == model_config.parse(old)


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        ({"eos_token_id": [1, 2]}, {"eos_token_id": 3}, {1, 2}),
        ({"eos_token_id": 1}, {"eos_token_id": 3}, {1}),
        ({}, {"eos_token_id": 3}, {3}),
        (None, {"eos_token_id": 3}, {3}),
        (None, {}, set()),
    ],
)
def test_the_tokens_that_end_a_text(
    generation: dict[str, Any] | None, config: dict[str, Any], expected: set[int], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    assert model_config.eos_token_ids(tmp_path) == expected
