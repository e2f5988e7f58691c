"""What a family has to say about itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Activation(StrEnum):
    """Of the MLP's gate; the values are those of `hidden_act`."""

    SILU = "silu"
    GELU_TANH = "gelu_pytorch_tanh"


@dataclass(frozen=True)
class Traits:
    """Where one model's decoder departs from the plain block.

    Attributes:
        windows: for each layer, how many tokens a query sees, itself included; None: all before it.
        qkv_bias: the projections to queries, keys and values add a bias.
        output_bias: the projection out of attention adds a bias.
        mlp_bias: the MLP's projections add a bias.
        qk_norm: each head's query and key are normalised before they are rotated.
        fused: files hold q, k and v as one tensor `qkv_proj`, gate and up as one tensor `gate_up_proj`.
        partial_rotation: config.json may let only the first part of a head rotate.
        zero_centred_norms: the weight of a norm is stored less one, and applied in float32.
        scaled_embedding: embeddings are multiplied by the square root of their length.
    """

    windows: tuple[int | None, ...]
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    fused: bool = False
    partial_rotation: bool = False
    zero_centred_norms: bool = False
    scaled_embedding: bool = False


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
        defaults: what config.json means where it leaves a key out: the values of the family's config class
            in transformers, which a test compares.
        traits: reads them from a config.json with its defaults filled in; raises `ModelError` for what the
            family cannot do.
        activations: values of `hidden_act` and what they mean here.
    """

    defaults: Mapping[str, Any]
    traits: Callable[[Mapping[str, Any]], Traits]
    activations: Mapping[str, Activation] = field(default_factory=lambda: {"silu": Activation.SILU})
