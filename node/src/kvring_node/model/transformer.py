"""One decoder for all families: embed, blocks of attention and MLP, norm, head."""

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows

from kvring_node.model import parts, rotary
from kvring_node.model.attention.protocol import Attention
from kvring_node.model.config import ModelConfig
from kvring_node.model.weights import Weights


class SelfAttention:
    """Projections and rotation; what is seen is the Attention's business."""

    _rotate: parts.Rotation

    def __init__(self, config: ModelConfig, source: "Source", prefix: str, window: int | None):
        traits = config.traits
        self._num_heads = config.num_heads
        self._num_rotated = config.num_heads + config.num_kv_heads
        self._head_dim = config.head_dim
        self._window = window
        query, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        joined = {f"{prefix}.q_proj": query, f"{prefix}.k_proj": keys, f"{prefix}.v_proj": keys}
        if traits.fused:
            joined = {f"{prefix}.qkv_proj": query + 2 * keys}
        self._project = source.linear(joined, config.hidden_size, traits.qkv_bias)
        self._out = source.linear({f"{prefix}.o_proj": config.hidden_size}, query, traits.output_bias)
        norm = _qk_norm(config, source.weights, prefix) if traits.qk_norm else None
        self._rotation = functools.partial(source.parts.rotation, norm=norm, eps=config.rms_norm_eps)

    def rotate_by(self, angles: torch.Tensor) -> None:
        """From now on by this table; see `Transformer.reach`."""
        self._rotate = self._rotation(angles)

    def look(self, hidden: torch.Tensor, attention: Attention, layer: torch.Tensor) -> torch.Tensor:
        """What the heads see, `[tokens, num_heads * head_dim]`."""
        heads = self._project(hidden).view(hidden.shape[0], -1, self._head_dim)
        self._rotate(heads[:, : self._num_rotated], attention.positions)
        return attention(heads[:, : self._num_heads], heads[:, self._num_heads :], layer, self._window)

    def add(self, seen: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Adds it to the residual stream."""
        return self._out.add(seen, hidden)


class Mlp:
    """Gated MLP (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig, source: "Source", prefix: str):
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.traits.mlp_bias
        joined = {f"{prefix}.gate_proj": inner, f"{prefix}.up_proj": inner}
        if config.traits.fused:
            joined = {f"{prefix}.gate_up_proj": 2 * inner}
        self._gate = source.parts.gate(*source.read(joined, hidden, bias), config.activation)
        self._down = source.linear({f"{prefix}.down_proj": hidden}, inner, bias)

    def add(self, normed: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Adds what it makes of `normed` to the residual stream."""
        return self._down.add(self._gate(normed), hidden)


class Block:
    """Norm, attention, norm, MLP, and the residual stream around them."""

    def __init__(self, config: ModelConfig, source: "Source", prefix: str, window: int | None):
        self._attention_norm = _norm(config, source, f"{prefix}.input_layernorm")
        self.attention = SelfAttention(config, source, f"{prefix}.self_attn", window)
        self._mlp_norm = _norm(config, source, f"{prefix}.post_attention_layernorm")
        self._mlp = Mlp(config, source, f"{prefix}.mlp")

    def __call__(
        self,
        hidden: torch.Tensor,
        attention: Attention,
        layer: torch.Tensor,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`[tokens, hidden_size]` to the same, or to `rows` of it; `hidden` may be changed."""
        seen = self.attention.look(self._attention_norm(hidden), attention, layer)
        if rows is not None:
            seen, hidden = seen[rows], hidden[rows]
        hidden = self.attention.add(seen, hidden)
        return self._mlp.add(self._mlp_norm(hidden), hidden)


class Transformer:
    """Weights and the forward pass; tell it by `reach` how far, before the first."""

    def __init__(self, config: ModelConfig, weights: Weights, made_of: parts.Parts):
        """Takes its tensors from `weights`.

        Raises:
            ModelError: a tensor is missing or has another shape.
        """
        source = Source(weights, made_of)
        self.vocab_size = config.vocab_size
        self._device, self._dtype = weights.device, weights.dtype
        self._embed, self._head = _ends(config, source)
        self._embedding_scale = _embedding_scale(config, weights.dtype)
        self._rope = config.rope
        self._blocks = [
            Block(config, source, f"model.layers.{i}", window)
            for i, window in enumerate(config.traits.windows)
        ]
        self._norm = _norm(config, source, "model.norm")

    def reach(self, num_positions: int) -> None:
        """No sequence will be longer; some ropes depend on it. Pages computed before are worthless."""
        table = rotary.make_table(self._rope, num_positions)
        angles = table.to(self._device, self._dtype)
        for block in self._blocks:
            block.attention.rotate_by(angles)

    def forward(
        self,
        token_ids: torch.Tensor,
        attention: Attention,
        layers: Sequence[torch.Tensor],
        rows: torch.Tensor,
    ) -> torch.Tensor:
        """Hidden states after tokens `token_ids[rows]`, for `head`; keys and values go to `layers`."""
        hidden = self._embed(token_ids)
        if self._embedding_scale is not None:
            hidden *= self._embedding_scale
        *blocks, last = zip(self._blocks, layers, strict=True)
        for block, layer in blocks:
            hidden = block(hidden, attention, layer)
        block, layer = last  # of its results only those rows are used
        return self._norm(block(hidden, attention, layer, rows))

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits `[rows, vocab_size]` of rows that came out of `forward`."""
        return self._head(hidden)


class Source:
    """Where the weights come from, and what is made of them."""

    def __init__(self, weights: Weights, made_of: parts.Parts):
        self.weights = weights
        self.parts = made_of

    def read(
        self, joined: Mapping[str, int], columns: int, bias: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weight and bias of several matrices as one; `joined`: names in the checkpoint and their rows."""
        rows = list(joined.values())
        weight = self.weights.join([f"{name}.weight" for name in joined], rows, columns)
        return weight, self.weights.join([f"{name}.bias" for name in joined], rows) if bias else None

    def linear(self, joined: Mapping[str, int], columns: int, bias: bool) -> parts.Linear:
        """The same as a part."""
        return self.parts.linear(*self.read(joined, columns, bias))


def _ends(config: ModelConfig, source: Source) -> tuple[Callable[[torch.Tensor], torch.Tensor], parts.Linear]:
    """Embedding and head; tied, they are one matrix, kept once, as the head has it."""
    embedding = source.weights.take("model.embed_tokens.weight", config.vocab_size, config.hidden_size)
    weight = _head(config, source.weights, embedding)
    head = source.parts.linear(weight, None)
    return head.rows if weight is embedding else functools.partial(F.embedding, weight=embedding), head


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


def _norm(config: ModelConfig, source: Source, name: str) -> parts.Map:
    weight = source.weights.take(f"{name}.weight", config.hidden_size)
    if config.traits.zero_centred_norms:
        weight = weight.float() + 1.0
    return source.parts.norm(weight, config.rms_norm_eps)


def _qk_norm(config: ModelConfig, weights: Weights, prefix: str) -> torch.Tensor:
    """One norm over the heads of queries and keys, each with its own kind's weight, `[heads, head_dim]`."""
    query, key = (weights.take(f"{prefix}.{name}_norm.weight", config.head_dim) for name in "qk")
    return torch.cat((query.expand(config.num_heads, -1), key.expand(config.num_kv_heads, -1)))
