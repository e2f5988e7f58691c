"""The compiled attention against its slow twin, in every variant that this processor can run."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import naive_attention, scattered, variants_here

from kvring_node.batch import Batch
from kvring_node.model.native.attention import NativeAttention
from kvring_node.model.native.library import Library

LIBRARIES = variants_here.libraries()


def some_lengths(page_tokens: int) -> st.SearchStrategy[tuple[int, int]]:
    """Tokens computed before and in this step, about the edges of pages."""
    edges = st.sampled_from([0, 1, 15, 16, 17, page_tokens - 1, page_tokens, page_tokens + 1, 40])
    return st.tuples(edges, st.sampled_from([1, 1, 2, 7, 33, 70]))


def attend(library: Library, batch: Batch, page_tokens: int, query, keys_values, layer, window):
    num_heads, head_dim = query.shape[1:]
    attention = NativeAttention(library, batch, page_tokens, num_heads, keys_values.shape[1] // 2, head_dim)
    return attention(query, keys_values, layer, window)


def garbage_where_nothing_is_written(layer: torch.Tensor, batch: Batch, page_tokens: int) -> None:
    written = [
        pages[i // page_tokens] * page_tokens + i % page_tokens
        for computed, pages in zip(batch.num_computed, batch.page_tables, strict=True)
        for i in range(computed)
    ]
    kept = layer[:, written].clone()
    layer.fill_(math.nan)
    layer[:, written] = kept


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.variant)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_equals_the_slow_twin_whatever_lies_in_slots_not_written(
    library: Library, data: st.DataObject
) -> None:
    page_tokens = data.draw(st.sampled_from([8, 16, 64, 256]))
    spans = data.draw(st.lists(some_lengths(page_tokens), min_size=1, max_size=3))
    num_kv_heads, group = data.draw(st.sampled_from([(1, 1), (2, 2), (1, 3), (1, 8), (3, 1), (2, 4)]))
    head_dim = data.draw(st.sampled_from([16, 32, 48, 128, 256]))
    window = data.draw(st.sampled_from([None, 1, 5, 16, 17, 40]))
    batch = scattered.batch(spans, page_tokens)
    generator = torch.Generator().manual_seed(len(batch.token_ids))
    num_tokens = len(batch.token_ids)
    joined = torch.randn(num_tokens, (group + 2) * num_kv_heads, head_dim, generator=generator)
    query, keys_values = joined[:, : group * num_kv_heads], joined[:, group * num_kv_heads :]
    num_slots = page_tokens * sum(map(len, batch.page_tables))
    layer = torch.randn(2 * num_kv_heads, num_slots, head_dim, generator=generator)
    garbage_where_nothing_is_written(layer, batch, page_tokens)
    slow_layer = layer.clone()

    got = attend(library, batch, page_tokens, query, keys_values, layer, window)

    want = naive_attention.attend(batch, query, keys_values, slow_layer, page_tokens, window)
    torch.testing.assert_close(got, want, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(layer, slow_layer, atol=0, rtol=0, equal_nan=True)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.variant)
def test_a_token_sees_the_same_bits_alone_and_in_any_chunk(library: Library) -> None:
    length, page_tokens = 150, 16
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(length, 4, 32, generator=generator)
    keys_values = torch.randn(length, 4, 32, generator=generator)
    whole = scattered.batch([(0, length)], page_tokens)
    (pages,) = whole.page_tables
    layer = torch.zeros(4, page_tokens * len(pages), 32)
    want = attend(library, whole, page_tokens, query, keys_values, layer, None)

    for first, last in [(0, 1), (1, 40), (40, 41), (41, 149), (149, 150)]:
        part = Batch([0] * (last - first), [first], [last - first], [pages], [])
        got = attend(library, part, page_tokens, query[first:last], keys_values[first:last], layer, None)
        assert torch.equal(got, want[first:last])
