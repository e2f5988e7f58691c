"""Where keys and values live: one allocation on the device."""

from dataclasses import dataclass

import torch

LAYOUT = "page-token-kv-head"
"""Axes of a layer's pages, outermost first. A page is one run of bytes, keys next to values."""


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
        slots = (shape.num_layers, num_pages * shape.page_tokens, 2 * shape.num_kv_heads, shape.head_dim)
        self.layers = torch.zeros(slots, dtype=shape.dtype, device=device).unbind()
        """A layer's slots, `[pages * page_tokens, 2 * kv_heads, head_dim]`: heads of keys, then of values."""
