"""A runner without a model: it writes tokens on paper pages and reads them back before it answers.

The next token is a function of all tokens before it, read from the pages, so that a page that was
given away too early, shared wrongly or never written changes the answer.
"""

import zlib
from collections.abc import Callable, Sequence

from kvring_node.batch import Batch, Draw, Drawn

VOCAB_SIZE = 1000


def next_token(token_ids: Sequence[int]) -> int:
    """The token that follows `token_ids` in the paper model."""
    return zlib.crc32(repr(list(token_ids)).encode()) % VOCAB_SIZE


def _seed(draw: Draw) -> list[int]:
    """Sampled answers depend on their seed, too."""
    return [draw.seed] if draw.params.temperature else []


class PaperRunner:
    """Implements the engine's Runner; keeps the sizes of its batches; `before_step` may wait or raise."""

    def __init__(self, page_tokens: int):
        self._page_tokens = page_tokens
        self._slots: dict[int, int] = {}
        self.batch_tokens: list[int] = []
        self.num_copies = 0
        self.before_step: Callable[[], object] = lambda: None

    def run(self, batch: Batch) -> Drawn:
        """Writes the batch's tokens to their slots, then answers every draw from what the pages hold."""
        self.before_step()
        self.batch_tokens.append(len(batch.token_ids))
        self.num_copies += len(batch.copies)
        self._copy(batch.copies)
        last_rows: dict[int, list[int]] = {}
        token_ids = iter(batch.token_ids)
        members = list(zip(batch.num_computed, batch.lengths, batch.page_tables, strict=True))
        for computed, length, pages in members:
            for position in range(computed, computed + length):
                self._slots[self._slot(pages, position)] = next(token_ids)
        row = -1
        for computed, length, pages in members:
            row += length
            last_rows[row] = [self._slots[self._slot(pages, i)] for i in range(computed + length)]
        return Drawn([next_token([*last_rows[draw.row], *_seed(draw)]) for draw in batch.draws])

    def _copy(self, pairs: Sequence[tuple[int, int]]) -> None:
        read = [
            (target * self._page_tokens + i, self._slots.get(source * self._page_tokens + i))
            for source, target in pairs
            for i in range(self._page_tokens)
        ]
        self._slots.update((slot, token_id) for slot, token_id in read if token_id is not None)

    def _slot(self, pages: Sequence[int], position: int) -> int:
        return pages[position // self._page_tokens] * self._page_tokens + position % self._page_tokens
