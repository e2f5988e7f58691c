"""One decoder for all families: embed, blocks of attention and MLP, norm, head."""

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows

from kvring_node.model import rotary
from kvring_node.model.attention import Attention
from kvring_node.model.config import ModelConfig
from kvring_node.model.families.family import Activation
from kvring_node.model.weights import Weights

ACTIVATIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    Activation.SILU: F.silu,
    Activation.GELU_TANH: functools.partial(F.gelu, approximate="tanh"),
}


class Norm:
    """Root mean square normalisation over the last axis (Zhang and Sennrich, arXiv 1910.07467)."""

    def __init__(self, weight: torch.Tensor, eps: float):
        self._weight = weight
        self._eps = eps

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Computes in float32 whatever the dtype, and scales in the weight's dtype, as transformers does."""
        wide = hidden.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self._eps)
        return ((wide * scale).to(self._weight.dtype) * self._weight).to(hidden.dtype)


class Linear:
    """A multiplication, several of a checkpoint's matrices in one where they share their input."""

    def __init__(self, weights: Weights, parts: Mapping[str, int], columns: int, bias: bool):
        """`parts`: names in the checkpoint and their rows."""
        rows = list(parts.values())
        self._weight = weights.join([f"{name}.weight" for name in parts], rows, columns)
        self._bias = weights.join([f"{name}.bias" for name in parts], rows) if bias else None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[tokens, columns]` to `[tokens, sum of rows]`."""
        return F.linear(hidden, self._weight, self._bias)


class SelfAttention:
    """Projections and rotation; what is seen is the Attention's business."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str, window: int | None):
        traits = config.traits
        self._num_heads = config.num_heads
        self._num_rotated = config.num_heads + config.num_kv_heads
        self._head_dim = config.head_dim
        self._window = window
        query, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        parts = {f"{prefix}.q_proj": query, f"{prefix}.k_proj": keys, f"{prefix}.v_proj": keys}
        if traits.fused:
            parts = {f"{prefix}.qkv_proj": query + 2 * keys}
        self._project = Linear(weights, parts, config.hidden_size, traits.qkv_bias)
        self._out = Linear(weights, {f"{prefix}.o_proj": config.hidden_size}, query, traits.output_bias)
        self._norm = _qk_norm(config, weights, prefix) if traits.qk_norm else None

    def __call__(
        self, hidden: torch.Tensor, angles: torch.Tensor, attention: Attention, layer: torch.Tensor
    ) -> torch.Tensor:
        """`[tokens, hidden_size]` to the same."""
        heads = self._project(hidden).view(hidden.shape[0], -1, self._head_dim)
        rotated = heads[:, : self._num_rotated]
        normed = rotated if self._norm is None else self._norm(rotated)
        rotated.copy_(rotary.rotate(normed, angles))
        query, keys_values = heads[:, : self._num_heads], heads[:, self._num_heads :]
        return self._out(attention(query, keys_values, layer, self._window))


class Mlp:
    """Gated MLP (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str):
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.traits.mlp_bias
        parts = {f"{prefix}.gate_proj": inner, f"{prefix}.up_proj": inner}
        if config.traits.fused:
            parts = {f"{prefix}.gate_up_proj": 2 * inner}
        self._gate_up = Linear(weights, parts, hidden, bias)
        self._down = Linear(weights, {f"{prefix}.down_proj": hidden}, inner, bias)
        self._activate = ACTIVATIONS[config.activation]

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[tokens, hidden_size]` to the same."""
        gate, up = self._gate_up(hidden).chunk(2, dim=-1)
        return self._down(self._activate(gate).mul_(up))


class Block:
    """Norm, attention, norm, MLP, and the residual stream around them."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str, window: int | None):
        self._attention_norm = _norm(config, weights, f"{prefix}.input_layernorm")
        self._attention = SelfAttention(config, weights, f"{prefix}.self_attn", window)
        self._mlp_norm = _norm(config, weights, f"{prefix}.post_attention_layernorm")
        self._mlp = Mlp(config, weights, f"{prefix}.mlp")

    def __call__(
        self, hidden: torch.Tensor, angles: torch.Tensor, attention: Attention, layer: torch.Tensor
    ) -> torch.Tensor:
        """`[tokens, hidden_size]` to the same."""
        hidden = hidden + self._attention(self._attention_norm(hidden), angles, attention, layer)
        return hidden + self._mlp(self._mlp_norm(hidden))


class Transformer:
    """Weights and the forward pass."""

    def __init__(self, config: ModelConfig, weights: Weights, max_positions: int):
        """Takes its tensors from `weights`; `max_positions` is the longest sequence it will see.

        Raises:
            ModelError: a tensor is missing or has another shape.
        """
        self._embedding = weights.take("model.embed_tokens.weight", config.vocab_size, config.hidden_size)
        self._embedding_scale = _embedding_scale(config, self._embedding.dtype)
        self._blocks = [
            Block(config, weights, f"model.layers.{i}", window)
            for i, window in enumerate(config.traits.windows)
        ]
        self._norm = _norm(config, weights, "model.norm")
        self._head = _head(config, weights, self._embedding)
        table = rotary.make_table(config.rope, max_positions)
        self._angles = table.to(device=self._embedding.device, dtype=self._embedding.dtype)

    def forward(
        self,
        token_ids: torch.Tensor,
        attention: Attention,
        layers: Sequence[torch.Tensor],
        rows: torch.Tensor,
    ) -> torch.Tensor:
        """Logits `[len(rows), vocab_size]` after tokens `token_ids[rows]`; keys and values go to `layers`."""
        hidden = F.embedding(token_ids, self._embedding)
        if self._embedding_scale is not None:
            hidden *= self._embedding_scale
        angles = self._angles[attention.positions]
        for block, layer in zip(self._blocks, layers, strict=True):
            hidden = block(hidden, angles, attention, layer)
        return F.linear(self._norm(hidden[rows]), self._head)


def _head(config: ModelConfig, weights: Weights, embedding: torch.Tensor) -> torch.Tensor:
    """A stored head counts although config.json ties it, as in transformers; an equal copy is not kept."""
    name = "lm_head.weight"
    if config.tied_embeddings and name not in weights:
        return embedding
    head = weights.take(name, config.vocab_size, config.hidden_size)
    return embedding if config.tied_embeddings and torch.equal(head, embedding) else head


def _embedding_scale(config: ModelConfig, dtype: torch.dtype) -> float | None:
    """Rounded to the dtype, as in transformers."""
    return (
        float(torch.tensor(config.hidden_size**0.5, dtype=dtype)) if config.traits.scaled_embedding else None
    )


def _norm(config: ModelConfig, weights: Weights, name: str) -> Norm:
    weight = weights.take(f"{name}.weight", config.hidden_size)
    if config.traits.zero_centred_norms:
        weight = weight.float() + 1.0
    return Norm(weight, config.rms_norm_eps)


def _qk_norm(config: ModelConfig, weights: Weights, prefix: str) -> Norm:
    """One norm over the heads of queries and keys, each with its own kind's weight, `[heads, head_dim]`."""
    query, key = (weights.take(f"{prefix}.{name}_norm.weight", config.head_dim) for name in "qk")
    weight = torch.cat((query.expand(config.num_heads, -1), key.expand(config.num_kv_heads, -1)))
    return Norm(weight, config.rms_norm_eps)
