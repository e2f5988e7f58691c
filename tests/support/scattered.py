"""Batches over pages that lie anywhere, for tests of attention."""

import torch

from kvring_node.batch import Batch


def batch(spans: list[tuple[int, int]], page_tokens: int) -> Batch:
    """A batch of (computed, length) with scattered pages; its tokens do not matter to attention."""
    num_pages = sum(-(-(computed + length) // page_tokens) for computed, length in spans)
    order = torch.randperm(num_pages, generator=torch.Generator().manual_seed(num_pages)).tolist()
    tables = []
    for computed, length in spans:
        need = -(-(computed + length) // page_tokens)
        tables.append(order[:need])
        order = order[need:]
    computed_tokens, lengths = [span[0] for span in spans], [span[1] for span in spans]
    return Batch([0] * sum(lengths), computed_tokens, lengths, tables, [])
