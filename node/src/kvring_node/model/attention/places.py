"""Where the tokens of a batch stand: rows, positions, pages and slots, as flat arrays."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvring_node.batch import Batch

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """All sequences of a batch, side by side.

    Attributes:
        computed: for each sequence, how many of its tokens have their keys and values in pages already.
        lengths: for each sequence, how many tokens of the batch are its own.
        first_rows: for each sequence, its first row of the batch.
        pages: page tables, one after the other.
        first_pages: for each sequence, where its own begins in `pages`.
        positions: for each token of the batch, its position in its sequence.
        slots: for each token of the batch, where its keys and values go.
    """

    computed: Ints
    lengths: Ints
    first_rows: Ints
    pages: Ints
    first_pages: Ints
    positions: Ints
    slots: Ints


def find(batch: Batch, page_tokens: int) -> Places:
    """Places of a batch over pages of so many tokens."""
    computed = np.array(batch.num_computed, np.int64)
    lengths = np.array(batch.lengths, np.int64)
    num_pages = np.array([len(table) for table in batch.page_tables], np.int64)
    pages = np.fromiter(itertools.chain.from_iterable(batch.page_tables), np.int64, int(num_pages.sum()))
    first_rows, first_pages = np.cumsum(lengths) - lengths, np.cumsum(num_pages) - num_pages
    positions = np.arange(len(batch.token_ids)) - np.repeat(first_rows - computed, lengths)
    slots = pages[np.repeat(first_pages, lengths) + positions // page_tokens] * page_tokens
    slots += positions % page_tokens
    return Places(computed, lengths, first_rows, pages, first_pages, positions, slots)
