"""The slow twin of paged attention: one query, one head, one token at a time, straight from the formula."""

import math

import torch

from kvring_node.batch import Batch


def attend(
    batch: Batch,
    query: torch.Tensor,
    keys_values: torch.Tensor,
    layer: torch.Tensor,
    page_tokens: int,
    window: int | None,
) -> torch.Tensor:
    """Same arguments and result as an Attention, with loops; `layer` is written first."""
    num_heads, head_dim = query.shape[1:]
    num_kv_heads = keys_values.shape[1] // 2
    attended = torch.empty_like(query)
    row = 0
    for computed, length, pages in zip(batch.num_computed, batch.lengths, batch.page_tables, strict=True):
        slots = [pages[i // page_tokens] * page_tokens + i % page_tokens for i in range(computed + length)]
        for position in range(computed, computed + length):
            layer[:, slots[position]] = keys_values[row]
            first = 0 if window is None else max(0, position + 1 - window)
            visible = slots[first : position + 1]
            for head in range(num_heads):
                kv_head = head * num_kv_heads // num_heads
                scores = torch.stack(
                    [query[row, head] @ layer[kv_head, slot] / math.sqrt(head_dim) for slot in visible]
                )
                weights = scores.softmax(0)
                values = torch.stack([layer[num_kv_heads + kv_head, slot] for slot in visible])
                attended[row, head] = weights @ values
            row += 1
    return attended.flatten(1)
