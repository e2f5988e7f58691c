"""Rotary tables against those of transformers, for every scaling."""

import math
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from kvring_node.model import rope, rotary

HEAD_DIM = 32
MAX_POSITIONS = 256

factors = st.floats(1.0, 40.0)
lengths = st.sampled_from([16, 64, 256])
thetas = st.sampled_from([1e4, 5e5])
each_frequency = st.lists(factors, min_size=HEAD_DIM // 2, max_size=HEAD_DIM // 2)

SCALINGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "linear": st.fixed_dictionaries({"factor": factors}),
    "dynamic": st.fixed_dictionaries({"factor": factors}),
    "llama3": st.fixed_dictionaries(
        {
            "factor": factors,
            "low_freq_factor": st.floats(0.5, 2.0),
            "high_freq_factor": st.floats(3.0, 8.0),
            "original_max_position_embeddings": lengths,
        }
    ),
    "yarn": st.fixed_dictionaries(
        {"factor": factors, "original_max_position_embeddings": lengths},
        optional={
            "beta_fast": st.floats(8, 64),
            "beta_slow": st.floats(0.5, 4),
            "truncate": st.booleans(),
            "mscale": st.floats(0.5, 2),
            "mscale_all_dim": st.floats(0.5, 2),
            "attention_factor": st.floats(0.5, 2),
        },
    ),
    "longrope": st.fixed_dictionaries(
        {
            "short_factor": each_frequency,
            "long_factor": each_frequency,
            "original_max_position_embeddings": lengths,
        },
        optional={"factor": factors, "attention_factor": st.floats(0.5, 2)},
    ),
}


def table(parameters: dict[str, Any]) -> torch.Tensor:
    parsed = rope.parse({"rope_parameters": parameters}, HEAD_DIM, MAX_POSITIONS)
    return rotary.make_table(parsed, MAX_POSITIONS)


@pytest.mark.parametrize("kind", sorted(SCALINGS))
@settings(max_examples=40, deadline=None)
@given(data=st.data(), theta=thetas)
def test_scaled_tables_equal_those_of_transformers(kind: str, data: st.DataObject, theta: float) -> None:
    parameters = {"rope_type": kind, "rope_theta": theta, **data.draw(SCALINGS[kind])}
    config = transformers.LlamaConfig(
        hidden_size=4 * HEAD_DIM,
        num_attention_heads=4,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters=dict(parameters),
    )
    frequencies, length = ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len=MAX_POSITIONS)
    angles = torch.arange(MAX_POSITIONS)[:, None].float() * frequencies
    cos, signed_sin = table(parameters).unbind(1)
    torch.testing.assert_close(cos, (angles.cos() * length).repeat(1, 2), atol=2e-5, rtol=1e-5)
    want = torch.cat((-angles.sin(), angles.sin()), dim=1) * length
    torch.testing.assert_close(signed_sin, want, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("width", [HEAD_DIM, HEAD_DIM // 2])
def test_a_pair_turns_by_its_angle_and_the_rest_of_the_head_stays(width: int) -> None:
    head = torch.randn(1, 1, HEAD_DIM, generator=torch.Generator().manual_seed(0))
    plain = rope.Rope(theta=1e4, width=width)
    turned = rotary.rotate(head, rotary.make_table(plain, 8)[5:6])[0, 0].tolist()
    before = head[0, 0].tolist()
    for i in range(width // 2):
        angle = 5 / 1e4 ** (2 * i / width)
        x, y = before[i], before[i + width // 2]
        assert turned[i] == pytest.approx(x * math.cos(angle) - y * math.sin(angle), abs=1e-5)
        assert turned[i + width // 2] == pytest.approx(y * math.cos(angle) + x * math.sin(angle), abs=1e-5)
    assert turned[width:] == before[width:]


def test_a_long_rope_serves_short_texts_with_the_short_factors() -> None:
    half = HEAD_DIM // 2
    parameters = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * half,
        "long_factor": [4.0] * half,
        "original_max_position_embeddings": 64,
        "attention_factor": 1.0,
    }
    parsed = rope.parse({"rope_parameters": parameters}, HEAD_DIM, MAX_POSITIONS)
    plain = rope.Rope(theta=1e4, width=HEAD_DIM)
    torch.testing.assert_close(rotary.make_table(parsed, 64), rotary.make_table(plain, 64))
    assert not torch.allclose(rotary.make_table(parsed, 65)[:64], rotary.make_table(plain, 64))
