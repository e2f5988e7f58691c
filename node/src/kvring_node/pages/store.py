"""Where keys and values live: one allocation on the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

LAYOUT = "kv-head-page-token"
"""Axes of a layer, outermost first. A head's tokens lie side by side: attention reads them in one sweep."""


@dataclass(frozen=True)
class PageShape:
    """What one page holds."""

    num_layers: int
    page_tokens: int
    num_kv_heads: int
    head_dim: int
    dtype: torch.dtype

    @property
    def slot_bytes(self) -> int:
        """Bytes of one token's keys and values in one layer."""
        return 2 * self.num_kv_heads * self.head_dim * self.dtype.itemsize

    @property
    def page_bytes(self) -> int:
        """Bytes of one page over all layers."""
        return self.num_layers * self.page_tokens * self.slot_bytes


class PageStore:
    """Keys and values of all layers.

    Zeroed once: attention masks the rows of a page that are not written yet, but a mask does not
    stop a NaN left behind in uninitialised memory.
    """

    def __init__(self, shape: PageShape, num_pages: int, device: torch.device):
        self.shape = shape
        slots = (shape.num_layers, 2 * shape.num_kv_heads, num_pages * shape.page_tokens, shape.head_dim)
        self._slots = torch.zeros(slots, dtype=shape.dtype, device=device)
        self.layers = self._slots.unbind()
        """A layer's slots, `[2 * kv_heads, pages * page_tokens, head_dim]`: heads of keys, then of values."""

    def copy(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Makes the second page of each pair equal to the first, in all layers; all are read first."""
        layers, heads, _, head_dim = self._slots.shape
        pages = self._slots.view(layers, heads, -1, self.shape.page_tokens * head_dim)
        sources, targets = torch.tensor(pairs, device=self._slots.device).unbind(1)
        pages.index_copy_(2, targets, pages.index_select(2, sources))
