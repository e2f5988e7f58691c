"""The parts of a transformer in plain torch, for every device and dtype; the slow twin of the kernels."""

import contextlib
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows

from kvring_node.batch import Batch
from kvring_node.model import parts, rotary
from kvring_node.model.attention.protocol import Attention
from kvring_node.model.families.family import Activation

ACTIVATIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    Activation.SILU: F.silu,
    Activation.GELU_TANH: functools.partial(F.gelu, approximate="tanh"),
}


class PlainParts:
    """See `parts.Parts`."""

    def __init__(self, attention: Callable[[Batch], Attention]):
        """`attention` makes the attention of a step."""
        self.attention = attention

    def computing(self) -> contextlib.AbstractContextManager[None]:
        """Nothing must hold."""
        return contextlib.nullcontext()

    def linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> parts.Linear:
        """See the Protocol."""
        return _Linear(weight, bias)

    def gate(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: Activation) -> parts.Map:
        """See the Protocol."""
        return _Gate(weight, bias, ACTIVATIONS[activation])

    def norm(self, weight: torch.Tensor, eps: float) -> parts.Map:
        """See the Protocol."""
        return _Norm(weight, eps)

    def rotation(self, table: torch.Tensor, norm: torch.Tensor | None, eps: float) -> parts.Rotation:
        """See the Protocol."""
        return _Rotation(table, None if norm is None else _Norm(norm, eps))


class _Linear:
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        self._weight = weight
        self._bias = bias

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden, self._weight, self._bias)

    def add(self, hidden: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        return to + self(hidden)

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return F.embedding(indices, self._weight)


class _Gate(_Linear):
    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        activate: Callable[[torch.Tensor], torch.Tensor],
    ):
        super().__init__(weight, bias)
        self._activate = activate

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = super().__call__(hidden).chunk(2, dim=-1)
        return self._activate(gate).mul_(up)


class _Norm:
    def __init__(self, weight: torch.Tensor, eps: float):
        self._weight = weight
        self._eps = eps

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Computes in float32 whatever the dtype, and scales in the weight's dtype, as transformers does."""
        wide = hidden.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self._eps)
        return ((wide * scale).to(self._weight.dtype) * self._weight).to(hidden.dtype)


class _Rotation:
    def __init__(self, table: torch.Tensor, norm: _Norm | None):
        self._table = table
        self._norm = norm

    def __call__(self, heads: torch.Tensor, positions: torch.Tensor) -> None:
        normed = heads if self._norm is None else self._norm(heads)
        heads.copy_(rotary.rotate(normed, self._table[positions]))
