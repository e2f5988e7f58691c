"""Where the tokens of a batch stand: rows, positions, pages and slots."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kvring_node.batch import Batch


class Run(NamedTuple):
    """Queries of one sequence that are computed together: `num_tokens` rows of the batch from `first_row`.

    `first_page` is where the sequence's page table begins in `Places.pages`; `position` is that of the first
    query in its sequence.
    """

    first_page: int
    first_row: int
    position: int
    num_tokens: int


@dataclass(frozen=True)
class Places:
    """All sequences of a batch, side by side; numbers of 64 bits, which numpy and torch read where they lie.

    Attributes:
        runs: for each sequence, all its tokens of the batch.
        pages: page tables, one after the other.
        positions: for each token of the batch, its position in its sequence.
        slots: for each token of the batch, where its keys and values go.
    """

    runs: list[Run]
    pages: "array[int]"
    positions: "array[int]"
    slots: "array[int]"


def find(batch: Batch, page_tokens: int) -> Places:
    """Places of a batch over pages of so many tokens.

    Lists, and arrays at the end: numpy's many small steps would cost a decoding batch more than its numbers.
    """
    runs: list[Run] = []
    pages: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    for computed, length, table in zip(batch.num_computed, batch.lengths, batch.page_tables, strict=True):
        runs.append(Run(len(pages), len(positions), computed, length))
        pages += table
        first, offset = divmod(computed, page_tokens)
        if length == 1:
            positions.append(computed)
            slots.append(table[first] * page_tokens + offset)
        else:
            positions += range(computed, computed + length)
            last = -(-(computed + length) // page_tokens)
            starts = (page * page_tokens for page in table[first:last])
            written = [slot for start in starts for slot in range(start, start + page_tokens)]
            slots += written[offset : offset + length]
    return Places(runs, array("q", pages), array("q", positions), array("q", slots))


def cut(runs: Iterable[Run], max_tokens: int) -> Iterator[Run]:
    """The same in runs of at most so many tokens."""
    for run in runs:
        if run.num_tokens <= max_tokens:
            yield run
        else:
            first_page, first_row, position, num_tokens = run
            for start in range(0, num_tokens, max_tokens):
                size = min(max_tokens, num_tokens - start)
                yield Run(first_page, first_row + start, position + start, size)
