"""torch's scaled dot product attention over gathered pages: runs everywhere."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows

from kvring_node.batch import Batch
from kvring_node.model.attention import places

Ints = npt.NDArray[np.int64]

GATHER_BYTES = 2 << 20
"""Decoding sequences are gathered in groups of this size: a copy is still in cache when it is read."""


@dataclass(frozen=True)
class _Prefill:
    """One sequence with several tokens in this step: rows `first:last` see `pages`, causally."""

    first: int
    last: int
    pages: torch.Tensor | None  # None: all it may see is in the batch itself
    mask: torch.Tensor | None


@dataclass(frozen=True)
class _Decode:
    """Sequences of similar length with one token each: `rows[i]` sees `pages[i]` under `mask[i]`."""

    rows: torch.Tensor
    pages: torch.Tensor  # flat, `[num_rows * width]`
    mask: torch.Tensor  # `[num_rows, 1, 1, width * page_tokens]`


@dataclass(frozen=True)
class _Plan:
    """One step's work in the layers that look back equally far."""

    prefills: list[_Prefill]
    decodes: list[_Decode]


class SdpaAttention:
    """Made once a step.

    Decoding sequences are sorted by length and attend in groups, padded to the longest of the group only;
    each prefill attends alone.
    """

    def __init__(self, batch: Batch, page_tokens: int, slot_bytes: int, device: torch.device):
        """Prepares index tensors. `slot_bytes`: keys and values of one token in one layer."""
        self._page_tokens = page_tokens
        found = places.find(batch, page_tokens)
        first_pages, first_rows, computed, lengths = np.array(found.runs, np.int64).T
        tables = _table_matrix(np.array(found.pages), first_pages)
        self.positions = torch.frombuffer(found.positions, dtype=torch.int64).to(device)
        self._slots = torch.frombuffer(found.slots, dtype=torch.int64).to(device)
        decoding = np.flatnonzero(lengths == 1)
        known = computed + lengths
        order = decoding[np.argsort(known[decoding], kind="stable")]
        decode_groups = groups(order, known, GATHER_BYTES // slot_bytes)

        @functools.cache
        def plan(window: int | None) -> _Plan:
            decodes = [
                self._decode(first_rows[group], tables[group], known[group], window, device)
                for group in decode_groups
            ]
            prefills = [
                self._prefill(
                    int(first_rows[i]), int(computed[i]), int(lengths[i]), tables[i], window, device
                )
                for i in np.flatnonzero(lengths > 1)
            ]
            return _Plan(prefills, decodes)

        self._plan = plan

    def __call__(
        self, query: torch.Tensor, keys_values: torch.Tensor, layer: torch.Tensor, window: int | None
    ) -> torch.Tensor:
        """See the Protocol."""
        plan = self._plan(window)
        by_head = keys_values.transpose(0, 1)
        # Whoever gets the page next masks what is left in it, but 0 times what is no number is none either.
        layer.index_copy_(1, self._slots, by_head.nan_to_num(0.0, 0.0, 0.0))
        pages = layer.view(layer.shape[0], -1, self._page_tokens * layer.shape[2])
        attended = torch.empty_like(query)
        for prefill in plan.prefills:
            rows = slice(prefill.first, prefill.last)
            seen = by_head[:, rows] if prefill.pages is None else pages.index_select(1, prefill.pages)
            attended[rows] = _attend_prefill(query[rows], seen, prefill.mask)
        for decode in plan.decodes:
            seen = pages.index_select(1, decode.pages)
            attended[decode.rows] = _attend_decode(query[decode.rows], seen, decode.mask)
        return attended.flatten(1)

    def _decode(
        self,
        rows: Ints,
        tables: Ints,
        known: Ints,
        window: int | None,
        device: torch.device,
    ) -> _Decode:
        width = -(-int(known.max()) // self._page_tokens)
        seen = np.arange(width * self._page_tokens)
        mask = seen < known[:, None]
        if window is not None:
            mask &= seen >= known[:, None] - window
        return _Decode(
            rows=torch.from_numpy(rows).to(device),
            pages=torch.from_numpy(tables[:, :width].ravel()).to(device),
            mask=torch.from_numpy(mask).to(device)[:, None, None],
        )

    def _prefill(
        self,
        first: int,
        computed: int,
        length: int,
        table: Ints,
        window: int | None,
        device: torch.device,
    ) -> _Prefill:
        if computed == 0 and (window is None or window >= length):
            return _Prefill(first, first + length, None, None)
        width = -(-(computed + length) // self._page_tokens)
        seen = torch.arange(width * self._page_tokens, device=device)
        positions = torch.arange(computed, computed + length, device=device)[:, None]
        mask = seen <= positions
        if window is not None:
            mask &= seen > positions - window
        return _Prefill(first, first + length, torch.from_numpy(table[:width]).to(device), mask)


def _attend_prefill(query: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """One sequence: `query [tokens, num_heads, head_dim]`, `seen` its slots, heads of keys first."""
    keys, values = seen.view(1, seen.shape[0], -1, query.shape[2]).chunk(2, dim=1)
    attended = F.scaled_dot_product_attention(
        query.transpose(0, 1)[None], keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )
    return attended[0].transpose(0, 1)


def _attend_decode(query: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One query a sequence. Heads that share keys become rows of one query: keys are read once for all."""
    num_rows, num_heads, head_dim = query.shape
    keys, values = seen.view(seen.shape[0], num_rows, -1, head_dim).transpose(0, 1).chunk(2, dim=1)
    grouped = query.view(num_rows, keys.shape[1], -1, head_dim)
    attended = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
    return attended.view(num_rows, num_heads, head_dim)


def _table_matrix(pages: Ints, first_pages: Ints) -> Ints:
    """Page tables side by side; the padding points to page 0, which a mask hides."""
    counts = np.diff(first_pages, append=len(pages))
    matrix = np.zeros((len(counts), int(counts.max())), np.int64)
    matrix[np.arange(matrix.shape[1]) < counts[:, None]] = pages
    return matrix


def groups(order: Ints, known: Ints, max_slots: int) -> list[Ints]:
    """Cuts sequences, sorted by length, into runs whose padded size is about `max_slots`."""
    groups: list[Ints] = []
    stop = len(order)
    while stop > 0:
        size = max(1, max_slots // int(known[order[stop - 1]]))
        groups.append(order[max(0, stop - size) : stop])
        stop -= size
    return groups
