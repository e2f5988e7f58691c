"""The parts of a transformer, made of the compiled kernels; weights are kept as these read them."""

import contextlib
import ctypes
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows

from kvring_node.batch import Batch
from kvring_node.model import parts
from kvring_node.model.families.family import Activation
from kvring_node.model.native.attention import NativeAttention
from kvring_node.model.native.library import Library, Rotation, Weights

STORE, ADD = 0, 1
ACTIVATIONS = {Activation.SILU: 2, Activation.GELU_TANH: 3}
"""What linear.cpp does with a product (`Then`)."""


class NativeParts:
    """See `parts.Parts`; float32 on a CPU."""

    def __init__(self, library: Library, page_tokens: int, num_heads: int, num_kv_heads: int, head_dim: int):
        self._library = library
        self._shape = page_tokens, num_heads, num_kv_heads, head_dim

    def linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> parts.Linear:
        """See the Protocol."""
        packed = _pack(weight, self._library.panel)
        return _Linear(self._library, packed, _pad(bias, packed), weight.shape[0])

    def gate(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: Activation) -> parts.Map:
        """See the Protocol."""
        packed = _pack(_interleave(weight, self._library.lanes), self._library.panel)
        joined = None if bias is None else _interleave(bias[:, None], self._library.lanes)[:, 0]
        return _Product(
            self._library, packed, _pad(joined, packed), weight.shape[0] // 2, ACTIVATIONS[activation]
        )

    def norm(self, weight: torch.Tensor, eps: float) -> parts.Map:
        """See the Protocol."""
        return _Norm(self._library, weight, eps)

    def rotation(self, table: torch.Tensor, norm: torch.Tensor | None, eps: float) -> parts.Rotation:
        """See the Protocol."""
        return _Rotation(self._library, table, norm, eps)

    def attention(self, batch: Batch) -> NativeAttention:
        """See the Protocol."""
        return NativeAttention(self._library, batch, *self._shape)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """The kernels get as many threads as torch has, and torch one.

        Its own would look for work for milliseconds after each small operation they had a part in, on
        processors that the kernels need: with two of each on two processors a step took three times as long.
        """
        num_threads = torch.get_num_threads()
        self._library.use_threads(num_threads)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(num_threads)


class _Product:
    """Packed weights, and what is done with the product."""

    def __init__(
        self, library: Library, packed: torch.Tensor, bias: torch.Tensor | None, num_outputs: int, then: int
    ):
        self._multiply = library.linear
        self._kept = packed, bias
        self._num_outputs = num_outputs
        self._weights = Weights(
            packed.data_ptr(),
            None if bias is None else bias.data_ptr(),
            packed.shape[1],
            num_outputs,
            then,
        )
        self._reference = ctypes.byref(self._weights)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        out = torch.empty(hidden.shape[0], self._num_outputs)
        self._run(hidden, out)
        return out

    def _run(self, hidden: torch.Tensor, out: torch.Tensor) -> None:
        self._multiply(self._reference, hidden.data_ptr(), hidden.stride(0), hidden.shape[0], out.data_ptr())


class _Linear(_Product):
    def __init__(self, library: Library, packed: torch.Tensor, bias: torch.Tensor | None, num_outputs: int):
        super().__init__(library, packed, bias, num_outputs, STORE)
        self._packed = packed
        self._adding = _Product(library, packed, bias, num_outputs, ADD)

    def add(self, hidden: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        self._adding._run(hidden, to)
        return to

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        panels = self._packed.transpose(1, 2)
        return panels[indices // panels.shape[1], indices % panels.shape[1]].contiguous()


class _Norm:
    def __init__(self, library: Library, weight: torch.Tensor, eps: float):
        self._normalise = library.norm
        self._weight = weight.contiguous()
        self._eps = eps

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(hidden)
        self._normalise(hidden.data_ptr(), self._weight.data_ptr(), self._eps, *hidden.shape, out.data_ptr())
        return out


class _Rotation:
    def __init__(self, library: Library, table: torch.Tensor, norm: torch.Tensor | None, eps: float):
        self._rotate = library.rotate
        self._kept = table, norm
        self._rotation = Rotation(
            None if norm is None else norm.data_ptr(), table.data_ptr(), width=table.shape[2], eps=eps
        )

    def __call__(self, heads: torch.Tensor, positions: torch.Tensor) -> None:
        rotation = self._rotation
        rotation.num_heads, rotation.head_dim = heads.shape[1:]
        self._rotate(
            ctypes.byref(rotation), positions.data_ptr(), heads.data_ptr(), heads.stride(0), heads.shape[0]
        )


def _pack(weight: torch.Tensor, panel: int) -> torch.Tensor:
    """`[outputs, inputs]` to `[panels, inputs, panel]`, padded with zeros."""
    return _pad_rows(weight, panel).view(-1, panel, weight.shape[1]).transpose(1, 2).contiguous()


def _pad(bias: torch.Tensor | None, packed: torch.Tensor) -> torch.Tensor | None:
    return None if bias is None else F.pad(bias, (0, packed.shape[0] * packed.shape[2] - len(bias)))


def _pad_rows(weight: torch.Tensor, multiple: int) -> torch.Tensor:
    """Zeros below, up to a multiple; what is one already is not copied."""
    missing = -weight.shape[-2] % multiple
    return F.pad(weight, (0, 0, 0, missing)) if missing else weight


def _interleave(weight: torch.Tensor, lanes: int) -> torch.Tensor:
    """Two halves of rows become groups of `lanes` rows, one of the first, one of the second, in turns."""
    columns = weight.shape[1]
    return (
        _pad_rows(weight.view(2, -1, columns), lanes)
        .view(2, -1, lanes, columns)
        .transpose(0, 1)
        .reshape(-1, columns)
    )
