"""Attention by the compiled kernels: pages are read where they lie."""

import ctypes

import numpy as np
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
        self._tasks = tasks = _tasks(found, MAX_ROWS // (num_heads // num_kv_heads))
        self._step = Step(
            positions=found.positions.ctypes.data,
            slots=found.slots.ctypes.data,
            pages=found.pages.ctypes.data,
            tasks=tasks.ctypes.data,
            num_tokens=len(found.positions),
            num_tasks=len(tasks),
            page_tokens=page_tokens,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            scale=head_dim**-0.5,
        )
        self.positions = torch.from_numpy(found.positions)

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


def _tasks(found: places.Places, max_queries: int) -> places.Ints:
    """Rows of (start of the page table, first row of the batch, number of rows)."""
    num_tasks = -(-found.lengths // max_queries)
    owners = np.repeat(np.arange(len(num_tasks)), num_tasks)
    first = (np.arange(len(owners)) - (np.cumsum(num_tasks) - num_tasks)[owners]) * max_queries
    queries = np.minimum(found.lengths[owners] - first, max_queries)
    costs = (found.computed[owners] + first + queries) * queries
    tasks = np.stack((found.first_pages[owners], found.first_rows[owners] + first, queries), axis=1)
    return np.ascontiguousarray(tasks[np.argsort(-costs, kind="stable")])
