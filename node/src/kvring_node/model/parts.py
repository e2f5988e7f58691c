"""What a transformer is built from: a plain set of parts, and one of compiled kernels for the CPU."""

from contextlib import AbstractContextManager
from typing import Protocol

import torch

from kvring_node.batch import Batch
from kvring_node.model.attention.protocol import Attention
from kvring_node.model.families.family import Activation


class Map(Protocol):
    """A step from one activation to the next."""

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[tokens, inputs]` to `[tokens, outputs]`."""
        ...


class Linear(Map, Protocol):
    """A multiplication, several of a checkpoint's matrices in one where they share their input."""

    def add(self, hidden: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        """Adds the result to `to [tokens, outputs]`, which may be changed, and returns the sum."""
        ...

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        """Those of the weight, `[indices, inputs]`: what a head says next is also what is embedded."""
        ...


class Rotation(Protocol):
    """Turns heads by their position, normalised before where the model does that."""

    def __call__(self, heads: torch.Tensor, positions: torch.Tensor) -> None:
        """Changes `heads [tokens, num_heads, head_dim]` in place; `positions [tokens]`."""
        ...


class Parts(Protocol):
    """Makes the parts of one model. Weights are handed over: a part may keep them in another form only."""

    def linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Linear:
        """`x W^T + b` for `weight [outputs, inputs]`."""
        ...

    def gate(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: Activation) -> Map:
        """`activation(x G^T) * (x U^T)` for `weight [2 * outputs, inputs]`, G above U."""
        ...

    def norm(self, weight: torch.Tensor, eps: float) -> Map:
        """Root mean square normalisation over the last axis (Zhang and Sennrich, arXiv 1910.07467)."""
        ...

    def rotation(self, table: torch.Tensor, norm: torch.Tensor | None, eps: float) -> Rotation:
        """By `rotary`'s `table [positions, 2, width]`; `norm [num_heads, head_dim]` is of the norm before."""
        ...

    def computing(self) -> AbstractContextManager[None]:
        """What must hold while a step computes."""
        ...

    def attention(self, batch: Batch) -> Attention:
        """Attention for one step."""
        ...
