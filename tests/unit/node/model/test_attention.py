"""Attention over pages against its slow twin, over every mixture of prefill, chunk and decode."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import naive_attention, scattered

from kvring_node.batch import Batch
from kvring_node.model.attention import sdpa
from kvring_node.model.attention.sdpa import SdpaAttention

HEAD_DIM = 8
CPU = torch.device("cpu")


@settings(max_examples=60, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6)), min_size=1, max_size=5),
    page_tokens=st.sampled_from([2, 8]),
    num_kv_heads=st.sampled_from([1, 2]),
    slot_bytes=st.sampled_from([64, sdpa.GATHER_BYTES]),  # one group for all, or one for each
    window=st.sampled_from([None, 1, 3, 10]),
)
def test_equals_the_slow_twin(
    spans: list[tuple[int, int]], page_tokens: int, num_kv_heads: int, slot_bytes: int, window: int | None
) -> None:
    batch = scattered.batch(spans, page_tokens)
    generator = torch.Generator().manual_seed(len(batch.token_ids))
    num_tokens = len(batch.token_ids)
    query = torch.randn(num_tokens, 4, HEAD_DIM, generator=generator)
    keys_values = torch.randn(num_tokens, 2 * num_kv_heads, HEAD_DIM, generator=generator)
    num_slots = page_tokens * sum(map(len, batch.page_tables))
    layer = torch.randn(2 * num_kv_heads, num_slots, HEAD_DIM, generator=generator)
    slow_layer = layer.clone()
    fast = SdpaAttention(batch, page_tokens, slot_bytes, CPU)
    got = fast(query, keys_values, layer, window)
    want = naive_attention.attend(batch, query, keys_values, slow_layer, page_tokens, window)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer, slow_layer, atol=0, rtol=0)


@pytest.mark.parametrize("overflown", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("next_one", [(5, 1), (0, 1), (3, 4)])
def test_numbers_that_overflowed_do_not_spoil_the_next_holder_of_a_page(
    overflown: float, next_one: tuple[int, int]
) -> None:
    layer = torch.zeros(2, 16, HEAD_DIM)
    for computed, length, value in ((0, 16, overflown), (0, next_one[0], 1.0), (*next_one, 1.0)):
        if length:
            step = SdpaAttention(Batch([0] * length, [computed], [length], [[0, 1]], []), 8, 64, CPU)
            query, keys_values = torch.ones(length, 1, HEAD_DIM), torch.full((length, 2, HEAD_DIM), value)
            attended = step(query, keys_values, layer, None)
    assert attended.isfinite().all()


@pytest.mark.parametrize(
    ("lengths", "max_slots", "expected"),
    [
        ([1, 2, 3], 100, [[0, 1, 2]]),
        ([1, 2, 30], 60, [[1, 2], [0]]),
        ([5, 5, 5], 1, [[2], [1], [0]]),
        ([], 10, []),
    ],
)
def test_groups_hold_the_longest_first_and_every_sequence_once(
    lengths: list[int], max_slots: int, expected: list[list[int]]
) -> None:
    known = torch.tensor(lengths, dtype=torch.int64).numpy()
    groups = sdpa.groups(torch.arange(len(lengths)).numpy(), known, max_slots)
    assert [group.tolist() for group in groups] == expected
