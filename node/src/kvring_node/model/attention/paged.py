"""Attention that reads pages where they lie, for CUDA: one Triton kernel for prefill and decoding.

The shape of the kernel is that of vLLM's unified Triton attention: a program takes some queries of one
sequence together with all heads that share a head of keys, so that each key is read once for them; long
contexts are cut into segments that several programs share (flash decoding, Dao et al. 2023).
"""

import torch
import triton  # type: ignore[import-untyped]  # it has none
import triton.language as tl  # type: ignore[import-untyped]  # the same

from kvring_node import upload
from kvring_node.batch import Batch
from kvring_node.model.attention import places

ROWS = 16
"""Rows of one program's product: the smallest that a tensor core takes."""
PREFILL_ROWS = 64
TILE = 32
"""Keys that a program reads at a time."""
SEGMENT_TOKENS = 512
"""Decoding sequences with longer contexts are shared by several programs."""
MAX_SEGMENTS = 32
"""So many at most, which bounds the memory of their results."""
NOT_SPECIALIZED = ("num_tokens", "num_slots", "segment_tokens")
"""Sizes that change from step to step: a kernel made anew for 1 or for multiples of 16 would stop a step."""


class PagedAttention:
    """Made once a step: one upload of what all layers need."""

    def __init__(
        self, batch: Batch, num_heads: int, num_kv_heads: int, page_tokens: int, device: torch.device
    ):
        """Cuts the batch into blocks of queries."""
        found = places.find(batch, page_tokens)
        is_decoding = max(run.num_tokens for run in found.runs) == 1
        longest = max(run.position + run.num_tokens for run in found.runs)
        self._page_tokens = page_tokens
        self._group = num_heads // num_kv_heads
        self._rows = max(ROWS if is_decoding else PREFILL_ROWS, triton.next_power_of_2(self._group))
        self._num_segments = min(-(-longest // SEGMENT_TOKENS), MAX_SEGMENTS) if is_decoding else 1
        self._segment_tokens = -(-longest // self._num_segments)
        runs = places.cut(found.runs, self._rows // self._group)
        self._blocks = upload.indices(list(runs), device)
        self._pages = upload.indices(found.pages, device)
        self._slots = upload.indices(found.slots, device)
        self.positions = upload.indices(found.positions, device)

    def __call__(
        self, query: torch.Tensor, keys_values: torch.Tensor, layer: torch.Tensor, window: int | None
    ) -> torch.Tensor:
        """See the Protocol."""
        layer.index_copy_(1, self._slots, keys_values.transpose(0, 1))
        query = query.contiguous()
        num_tokens, num_heads, head_dim = query.shape
        num_segments = self._num_segments
        parts = query.new_empty((num_segments, num_tokens, num_heads, head_dim), dtype=torch.float32)
        peaks = query.new_full((num_segments, num_tokens, num_heads), -torch.inf, dtype=torch.float32)
        sums = torch.zeros_like(peaks)
        grid = (len(self._blocks), num_heads // self._group, num_segments)
        _attend[grid](
            query,
            layer,
            parts,
            peaks,
            sums,
            self._pages,
            self._blocks,
            head_dim**-0.5,
            num_tokens,
            layer.shape[1],
            self._segment_tokens,
            window=window or 0,
            num_heads=num_heads,
            num_kv_heads=num_heads // self._group,
            group=self._group,
            head_dim=head_dim,
            padded_dim=triton.next_power_of_2(max(head_dim, 16)),
            page_tokens=self._page_tokens,
            num_rows=self._rows,
            tile_tokens=TILE,
            enable_fp_fusion=True,  # as ever; the default of Triton 3.10 is another
        )
        return _join(parts, peaks, sums).to(query.dtype).flatten(1)


def _join(parts: torch.Tensor, peaks: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """The softmax over all segments from the softmax of each."""
    if len(parts) == 1:
        return parts[0] / sums[0][..., None]
    weights = torch.exp(peaks - peaks.amax(0))
    return (parts * weights[..., None]).sum(0) / (sums * weights).sum(0)[..., None]


@triton.jit(do_not_specialize=NOT_SPECIALIZED)  # type: ignore[untyped-decorator]  # it reads types of its own
def _attend(  # type: ignore[no-untyped-def]  # the same
    query,
    layer,
    parts,
    peaks,
    sums,
    pages,
    blocks,
    scale,
    num_tokens,
    num_slots,
    segment_tokens,
    window: tl.constexpr,
    num_heads: tl.constexpr,
    num_kv_heads: tl.constexpr,
    group: tl.constexpr,
    head_dim: tl.constexpr,
    padded_dim: tl.constexpr,
    page_tokens: tl.constexpr,
    num_rows: tl.constexpr,
    tile_tokens: tl.constexpr,
):
    """One block of queries, one head of keys, one segment of the context; window 0 sees everything before."""
    block, kv_head, segment = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    # A pool may hold more than 2**31 numbers. What is loaded below has 64 bits already.
    num_slots = num_slots.to(tl.int64)
    table = pages + tl.load(blocks + block * 4)
    first_row = tl.load(blocks + block * 4 + 1)
    first_position = tl.load(blocks + block * 4 + 2)
    num_queries = tl.load(blocks + block * 4 + 3)

    row = tl.arange(0, num_rows)
    dim = tl.arange(0, padded_dim)
    token = first_row + row // group
    head = kv_head * group + row % group
    position = first_position + row // group
    is_query = row // group < num_queries
    query_at = token * num_heads + head
    queries = tl.load(
        query + query_at[:, None] * head_dim + dim, mask=is_query[:, None] & (dim < head_dim), other=0.0
    )

    start = segment * segment_tokens
    end = tl.minimum(start + segment_tokens, first_position + num_queries)
    if window > 0:
        start = tl.maximum(start, first_position - window + 1)

    peak = tl.full((num_rows,), float("-inf"), tl.float32)
    total = tl.zeros((num_rows,), tl.float32)
    attended = tl.zeros((num_rows, padded_dim), tl.float32)
    for tile in range(start, end, tile_tokens):
        key = tile + tl.arange(0, tile_tokens)
        is_key = key < end
        page = tl.load(table + key // page_tokens, mask=is_key, other=0)
        slot = page * page_tokens + key % page_tokens
        is_read = is_key[:, None] & (dim < head_dim)
        keys_at = layer + (kv_head * num_slots + slot)[:, None] * head_dim + dim
        keys = tl.load(keys_at, mask=is_read, other=0.0)
        values = tl.load(keys_at + num_kv_heads * num_slots * head_dim, mask=is_read, other=0.0)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
        is_seen = is_key & (key <= position[:, None])
        if window > 0:
            is_seen = is_seen & (key > position[:, None] - window)
        scores = tl.where(is_seen, scores, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        # Nothing seen yet: -inf less -inf is no number.
        base = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        weights = tl.exp(scores - base[:, None])
        decay = tl.exp(peak - base)
        total = total * decay + tl.sum(weights, 1)
        attended = attended * decay[:, None] + tl.dot(
            weights.to(values.dtype), values, input_precision="ieee"
        )
        peak = new_peak

    out_at = segment.to(tl.int64) * num_tokens * num_heads + query_at
    tl.store(parts + out_at[:, None] * head_dim + dim, attended, mask=is_query[:, None] & (dim < head_dim))
    tl.store(peaks + out_at, peak, mask=is_query)
    tl.store(sums + out_at, total, mask=is_query)
