"""Copies of pages, in all layers."""

import pytest
import torch

from kvring_node.pages.store import PageShape, PageStore

SHAPE = PageShape(num_layers=2, page_tokens=4, num_kv_heads=2, head_dim=8, dtype=torch.float32)


@pytest.mark.parametrize(
    ("sentence", "pairs", "expected"),
    [
        ("one page", [(0, 3)], [0, 1, 2, 0]),
        ("one page to several", [(1, 2), (1, 3)], [0, 1, 1, 1]),
        ("all are read before any is written", [(0, 1), (1, 2)], [0, 0, 1, 3]),
        ("two change places", [(0, 1), (1, 0)], [1, 0, 2, 3]),
    ],
)
def test_copy(sentence: str, pairs: list[tuple[int, int]], expected: list[int]) -> None:
    store = PageStore(SHAPE, 4, torch.device("cpu"))
    pages = torch.stack(list(store.layers)).unflatten(2, (4, SHAPE.page_tokens))
    before = torch.randn(pages.shape, generator=torch.Generator().manual_seed(1))
    for layer, values in zip(store.layers, before, strict=True):
        layer.copy_(values.flatten(1, 2))
    store.copy(pairs)
    after = torch.stack(list(store.layers)).unflatten(2, (4, SHAPE.page_tokens))
    assert torch.equal(after, before[:, :, expected]), sentence


def test_a_page_takes_what_its_shape_says() -> None:
    store = PageStore(SHAPE, 5, torch.device("cpu"))
    assert sum(layer.nbytes for layer in store.layers) == 5 * SHAPE.page_bytes
    assert SHAPE.page_bytes == 2 * SHAPE.page_tokens * SHAPE.slot_bytes
