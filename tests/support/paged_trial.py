"""The CUDA kernel beside its slow twin, in a process of its own: Triton decides at its import how to run.

`python -m tests.support.paged_trial` reads cases as JSON and writes for each how far the two are apart.
"""

import json
import random
import sys

import torch
from tests.support import naive_attention

from kvring_node.batch import Batch
from kvring_node.model.attention.paged import PagedAttention

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def distance(spans: list[tuple[int, int]], seed: int) -> float:
    """Largest difference of the results; infinite when the keys and values in the pages differ."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    num_kv_heads, group = rng.choice([1, 2]), rng.choice([1, 3, 4])
    head_dim, page_tokens = rng.choice([16, 48, 64]), rng.choice([8, 16, 32])
    window = rng.choice([None, 5, 33])
    sizes = [-(-(computed + length) // page_tokens) for computed, length in spans]
    order = iter(torch.randperm(sum(sizes) + 3, generator=generator).tolist())
    tables = [[next(order) for _ in range(size)] for size in sizes]
    computed, lengths = [span[0] for span in spans], [span[1] for span in spans]
    batch = Batch([0] * sum(lengths), computed, lengths, tables, [])

    query = torch.randn(sum(lengths), num_kv_heads * group, head_dim, generator=generator)
    keys_values = torch.randn(sum(lengths), 2 * num_kv_heads, head_dim, generator=generator)
    layer = torch.full((2 * num_kv_heads, (sum(sizes) + 3) * page_tokens, head_dim), float("nan"))
    for table, count in zip(tables, computed, strict=True):  # what was never written must not be looked at
        for position in range(count):
            slot = table[position // page_tokens] * page_tokens + position % page_tokens
            layer[:, slot] = torch.randn(2 * num_kv_heads, head_dim, generator=generator)
    on_device = layer.to(DEVICE)

    attention = PagedAttention(batch, num_kv_heads * group, num_kv_heads, page_tokens, DEVICE)
    got = attention(query.to(DEVICE), keys_values.to(DEVICE), on_device, window)

    want = naive_attention.attend(batch, query, keys_values, layer, page_tokens, window)
    if not torch.equal(on_device.cpu().nan_to_num(99), layer.nan_to_num(99)):
        return float("inf")
    return float((got.cpu() - want).abs().max())


if __name__ == "__main__":
    json.dump([distance(spans, seed) for spans, seed in json.load(sys.stdin)], sys.stdout)
