"""What a config.json says, and what it means where it says nothing: as transformers reads it."""

from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support import tiny_models
from tests.support.variants import VARIANTS

from kvring_node.model import config as model_config
from kvring_node.model.config import ModelConfig
from kvring_node.model.families.registry import FAMILIES
from kvring_node.model.families.windows import SLIDING

ARCHITECTURES = {model.__name__: config for config, model in tiny_models.KINDS.values()}

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "vocab_size": st.just(300),
    "hidden_size": st.sampled_from([64, 96]),
    "intermediate_size": st.just(96),
    "num_hidden_layers": st.sampled_from([2, 5]),
    "num_attention_heads": st.sampled_from([2, 4]),
    "num_key_value_heads": st.sampled_from([1, 2, None]),
    "head_dim": st.sampled_from([16, 64]),
    "max_position_embeddings": st.sampled_from([128, 1 << 17]),
    "rms_norm_eps": st.just(1e-3),
    "tie_word_embeddings": st.booleans(),
    "rope_theta": st.just(5e5),
    "attention_bias": st.booleans(),
    "mlp_bias": st.booleans(),
    "use_sliding_window": st.booleans(),
    "sliding_window": st.sampled_from([8, None]),
    "max_window_layers": st.sampled_from([0, 1, 3]),
}


def ours(config: ModelConfig) -> dict[str, Any]:
    return {
        "sizes": (config.vocab_size, config.hidden_size, config.intermediate_size, config.num_layers),
        "heads": (config.num_heads, config.num_kv_heads, config.head_dim),
        "numbers": (config.max_positions, config.rms_norm_eps, config.rope.theta),
        "activation": config.activation.value,
        "tied": config.tied_embeddings,
        "windows": config.traits.windows,
    }


def theirs(config: Any) -> dict[str, Any]:
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or [SLIDING] * config.num_hidden_layers
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return {
        "sizes": (
            config.vocab_size,
            config.hidden_size,
            config.intermediate_size,
            config.num_hidden_layers,
        ),
        "heads": (config.num_attention_heads, config.num_key_value_heads, head_dim),
        "numbers": (
            config.max_position_embeddings,
            config.rms_norm_eps,
            config.rope_parameters["rope_theta"],
        ),
        "activation": config.hidden_act,
        "tied": config.tie_word_embeddings,
        "windows": tuple(window if kind == SLIDING else None for kind in kinds),
    }


def test_every_family_is_compared() -> None:
    assert set(ARCHITECTURES) == set(FAMILIES)
    assert set(tiny_models.KINDS) == {kind for kind, _ in VARIANTS.values()}


@pytest.mark.parametrize("architecture", sorted(FAMILIES))
def test_an_empty_config_means_what_transformers_takes_it_for(architecture: str) -> None:
    got = model_config.parse({"architectures": [architecture]})
    assert ours(got) == theirs(ARCHITECTURES[architecture]())


@settings(max_examples=300, deadline=None)
@given(architecture=st.sampled_from(sorted(FAMILIES)), given=st.fixed_dictionaries({}, optional=VALUES))
def test_whatever_a_config_leaves_out(architecture: str, given: dict[str, Any]) -> None:
    if not hasattr(ARCHITECTURES[architecture], "sliding_window"):  # it would ignore a window, we refuse it
        given = {key: value for key, value in given.items() if "window" not in key}
    try:
        want = theirs(ARCHITECTURES[architecture](**given))
    except StrictDataclassError:
        assume(False)
    num_heads, num_kv_heads, head_dim = want["heads"]
    assume(num_heads % num_kv_heads == 0 and head_dim % 2 == 0)  # transformers would fail later
    assert ours(model_config.parse({"architectures": [architecture], **given})) == want
