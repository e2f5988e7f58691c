"""What one step carries to the runner: flat tokens and lengths, no padding, no torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kvring_node.sequence import Sequence


class Chunk(NamedTuple):
    """The next `num_tokens` tokens of one sequence."""

    sequence: Sequence
    num_tokens: int

    @property
    def reaches_end(self) -> bool:
        """Whether a new token follows from this chunk: it computes the last token known."""
        return self.sequence.num_computed + self.num_tokens == len(self.sequence.token_ids)


class Draw(NamedTuple):
    """How to choose the token after one row of the batch. `number` counts a sequence's draws from 0."""

    row: int
    temperature: float
    top_p: float
    seed: int
    number: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's work.

    Attributes:
        token_ids: the tokens to compute, sequence after sequence.
        num_computed: for each sequence, how many of its tokens have their keys and values in pages already.
        lengths: for each sequence, how many of `token_ids` are its own.
        page_tables: for each sequence, its pages in order; they have room for all its tokens.
        draws: for each sequence that reaches its end, in order, the draw of its next token.
    """

    token_ids: list[int]
    num_computed: list[int]
    lengths: list[int]
    page_tables: list[list[int]]
    draws: list[Draw]


def make(chunks: Iterable[Chunk]) -> Batch:
    """Lays the chunks of one step side by side."""
    token_ids: list[int] = []
    num_computed: list[int] = []
    lengths: list[int] = []
    page_tables: list[list[int]] = []
    draws: list[Draw] = []
    for chunk in chunks:
        sequence, num_tokens = chunk
        start = sequence.num_computed
        token_ids += sequence.token_ids[start : start + num_tokens]
        num_computed.append(start)
        lengths.append(num_tokens)
        page_tables.append(sequence.pages)
        if chunk.reaches_end:
            params = sequence.params
            row = len(token_ids) - 1
            draws.append(Draw(row, params.temperature, params.top_p, sequence.seed, sequence.num_generated))
    return Batch(token_ids, num_computed, lengths, page_tables, draws)
