"""What one step carries to the runner and back: flat tokens and lengths, no padding, no torch."""

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, field
from typing import NamedTuple

from kvring_node.messages import SamplingParams, TokenLogprobs
from kvring_node.sequence import GrammarState, Sequence

_NOTHING: frozenset[int] = frozenset()


class Chunk(NamedTuple):
    """The next `num_tokens` tokens of one sequence."""

    sequence: Sequence
    num_tokens: int

    @property
    def reaches_end(self) -> bool:
        """Whether a new token follows from this chunk: it computes the last token known."""
        return self.sequence.num_computed + self.num_tokens == len(self.sequence.token_ids)


class Draw(NamedTuple):
    """How to choose the token after one row of the batch.

    Attributes:
        row: of the batch.
        params: the request's.
        seed: root of the sequence's draws.
        number: how many tokens the sequence has drawn before.
        token_ids: prompt and answer so far; the sequence's own list, to be read only.
        num_prompt_tokens: how many of them are the prompt.
        banned: tokens that must not come yet.
        grammar: the form of the answer; None: free.
    """

    row: int
    params: SamplingParams
    seed: int
    number: int
    token_ids: Ordered[int] = ()
    num_prompt_tokens: int = 0
    banned: frozenset[int] = _NOTHING
    grammar: GrammarState | None = None


class Score(NamedTuple):
    """Rows `row, row + 1, ...` of the batch are followed by `token_ids`: how likely were they?"""

    row: int
    token_ids: list[int]
    num_top: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's work.

    Attributes:
        token_ids: the tokens to compute, sequence after sequence.
        num_computed: for each sequence, how many of its tokens have their keys and values in pages already.
        lengths: for each sequence, how many of `token_ids` are its own.
        page_tables: for each sequence, its pages in order; they have room for all its tokens.
        draws: for each sequence that reaches its end, in order, the draw of its next token, and after it
            those of its siblings.
        scores: rows of prompts whose probabilities were asked for.
        copies: pairs of pages; before anything is written, the second becomes a copy of the first.
    """

    token_ids: list[int]
    num_computed: list[int]
    lengths: list[int]
    page_tables: list[list[int]]
    draws: list[Draw]
    scores: list[Score] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came of a batch.

    Attributes:
        token_ids: one for each draw.
        logprobs: one for each draw, None for those that did not ask; or empty, when nobody did.
        scores: for each of the batch's scores, one for each of its tokens.
    """

    token_ids: list[int]
    logprobs: list[TokenLogprobs | None] = field(default_factory=list)
    scores: list[list[TokenLogprobs]] = field(default_factory=list)


def make(chunks: Iterable[Chunk], copies: list[tuple[int, int]]) -> Batch:
    """Lays the chunks of one step side by side."""
    batch = Batch([], [], [], [], [], [], copies)
    token_ids = batch.token_ids
    for chunk in chunks:
        sequence, num_tokens = chunk
        start, row = sequence.num_computed, len(token_ids)
        token_ids += sequence.token_ids[start : start + num_tokens]
        batch.num_computed.append(start)
        batch.lengths.append(num_tokens)
        batch.page_tables.append(sequence.pages)
        if sequence.params.prompt_logprobs is not None and sequence.scores_prompt:
            batch.scores.append(_score(sequence, start, num_tokens, row))
        if chunk.reaches_end:
            last = row + num_tokens - 1
            batch.draws.append(_draw(sequence, last))
            for sibling in sequence.siblings:
                batch.draws.append(_draw(sibling, last))
    return batch


def _draw(sequence: Sequence, row: int) -> Draw:
    params = sequence.params
    early = params.min_tokens and sequence.num_generated < params.min_tokens
    return Draw(
        row,
        params,
        sequence.seed,
        sequence.num_generated,
        sequence.token_ids,
        sequence.num_prompt_tokens,
        sequence.stop_token_ids if early else _NOTHING,
        sequence.grammar,
    )


def _score(sequence: Sequence, start: int, num_tokens: int, row: int) -> Score:
    """A sequence that lost its pages computes tokens again that it has scored already."""
    first = max(start, len(sequence.prompt_logprobs))
    last = min(start + num_tokens, sequence.num_prompt_tokens - 1)
    return Score(
        row + first - start, sequence.token_ids[first + 1 : last + 1], sequence.params.prompt_logprobs or 0
    )


def one_by_one(batch: Batch) -> Iterator[Batch]:
    """Each token of a batch as a batch of its own, to be computed in this order; draws are left out."""
    tokens = iter(batch.token_ids)
    for computed, length, table in zip(batch.num_computed, batch.lengths, batch.page_tables, strict=True):
        for position in range(computed, computed + length):
            yield Batch([next(tokens)], [position], [1], [table], [])
