"""The CUDA kernel against the slow twin: compiled where there is a GPU, by Triton's interpreter elsewhere."""

import importlib
import random
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from tests.support import naive_attention

from kvring_node.batch import Batch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

SPANS = {
    "one prompt of several blocks of queries": [(0, 70)],
    "chunks that continue at odd places, and a decoding sequence among them": [(13, 5), (40, 1), (0, 17)],
    "decoding sequences of one token and of many": [(0, 1), (1, 1), (15, 1), (16, 1), (63, 1)],
    "a decoding sequence that several programs share, beside one that needs a single one": [
        (1100, 1),
        (3, 1),
    ],
}


@pytest.fixture(scope="module")
def paged() -> Iterator[ModuleType]:
    """The module; Triton decides when it is imported whether to compile or to interpret."""
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE.type == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        yield importlib.import_module("kvring_node.model.attention.paged")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS.keys())
def test_equals_the_slow_twin(paged: ModuleType, spans: list[tuple[int, int]], seed: int) -> None:
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
    slow_layer = layer.clone()
    on_device = layer.to(DEVICE)

    attention = paged.PagedAttention(batch, num_kv_heads * group, num_kv_heads, page_tokens, DEVICE)
    got = attention(query.to(DEVICE), keys_values.to(DEVICE), on_device, window)

    want = naive_attention.attend(batch, query, keys_values, slow_layer, page_tokens, window)
    torch.testing.assert_close(got.cpu(), want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(on_device.cpu(), slow_layer, atol=0, rtol=0, equal_nan=True)
