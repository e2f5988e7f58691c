"""Attention by the compiled kernels: pages are read where they lie."""

import ctypes
import itertools
from array import array

import torch

from kvring_node.batch import Batch
from kvring_node.model.attention import places
from kvring_node.model.native.library import Layer, Library, Step

MAX_HEAD_DIM = 256
MAX_ROWS = 64
"""Queries times heads that share keys, of one task."""


def supports(num_heads: int, num_kv_heads: int, head_dim: int) -> bool:
    """Whether the kernel computes heads of this shape."""
    return head_dim % 16 == 0 and head_dim <= MAX_HEAD_DIM and num_heads // num_kv_heads <= MAX_ROWS


class NativeAttention:
    """Made once a step: which task has which queries, the longest first."""

    def __init__(
        self,
        library: Library,
        batch: Batch,
        page_tokens: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
    ):
        self._library = library
        self._places = found = places.find(batch, page_tokens)
        runs = places.cut(found.runs, MAX_ROWS // (num_heads // num_kv_heads))
        tasks = sorted(runs, key=_cost, reverse=True)
        self._tasks = array("q", itertools.chain.from_iterable(tasks))
        self._step = Step(
            slots=found.slots.buffer_info()[0],
            pages=found.pages.buffer_info()[0],
            tasks=self._tasks.buffer_info()[0],
            num_tokens=len(found.positions),
            num_tasks=len(tasks),
            page_tokens=page_tokens,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            scale=head_dim**-0.5,
        )
        self.positions = torch.frombuffer(found.positions, dtype=torch.int64)

    def __call__(
        self, query: torch.Tensor, keys_values: torch.Tensor, layer: torch.Tensor, window: int | None
    ) -> torch.Tensor:
        """See the Protocol; only the tokens of `query` and of `keys_values` may lie at strides."""
        attended = torch.empty(query.shape[0], query.shape[1] * query.shape[2])
        self._library.attend(
            ctypes.byref(self._step),
            ctypes.byref(Layer(layer.data_ptr(), layer.shape[1], window or 0)),
            query.data_ptr(),
            query.stride(0),
            keys_values.data_ptr(),
            keys_values.stride(0),
            attended.data_ptr(),
        )
        return attended


def _cost(run: places.Run) -> int:
    """Pairs of query and key, if no window hides any."""
    return (run.position + run.num_tokens) * run.num_tokens
