"""Runs a batch: the only place where plain data becomes tensors and tensors become plain data."""

from collections.abc import Sequence

import torch

from kvring_node import batch as batches
from kvring_node import upload
from kvring_node.batch import Batch, Draw, Drawn
from kvring_node.messages import SamplingParams
from kvring_node.model.parts import Parts
from kvring_node.model.transformer import Transformer
from kvring_node.pages.store import PageShape, PageStore
from kvring_node.sampling import choose, filters, logprobs

LOGITS_BYTES = 64 << 20
"""Logits in memory together; sampling takes up to nine times as much. Many answers fork in one step."""


class TorchRunner:
    """One model, one store, one device."""

    def __init__(
        self,
        transformer: Transformer,
        parts: Parts,
        store: PageStore,
        device: torch.device,
        one_by_one: bool = False,
        logits_bytes: int = LOGITS_BYTES,
    ):
        """`parts`: what the transformer is made of; `one_by_one`: no token shares a product with another."""
        self._transformer = transformer
        self._parts = parts
        self._store = store
        self._device = device
        self._one_by_one = one_by_one
        self._draws_at_once = max(1, logits_bytes // (4 * transformer.vocab_size))

    @torch.inference_mode()
    def run(self, batch: Batch) -> Drawn:
        """Copies pages, computes the batch, draws, and says how likely tokens were."""
        with self._parts.computing():
            if batch.copies:
                self._store.copy(batch.copies)
            hidden, scores = self._hidden(batch), []
            if batch.scores:
                scores = logprobs.of_scores(hidden[len(batch.draws) :], batch.scores, self._head)
        drawn = Drawn([], [], scores)
        for first in range(0, len(batch.draws), self._draws_at_once):
            draws = batch.draws[first : first + self._draws_at_once]
            self._draw(hidden[first : first + len(draws)], draws, drawn)
        return drawn

    def _draw(self, hidden: torch.Tensor, draws: Sequence[Draw], drawn: Drawn) -> None:
        with self._parts.computing():
            logits = self._head(hidden)
        token_ids = choose.tokens(logits, draws)
        drawn.token_ids.extend(token_ids)
        drawn.logprobs.extend(logprobs.of_draws(logits, draws, token_ids))

    @torch.inference_mode()
    def logits(self, batch: Batch) -> torch.Tensor:
        """Computes the batch; logits `[draws, vocab_size]` in float32."""
        return self._head(self._hidden(batch)[: len(batch.draws)])

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        if not self._one_by_one:
            return self._transformer.head(hidden).float()
        return torch.cat([self._transformer.head(row[None]).float() for row in hidden])

    def _hidden(self, batch: Batch) -> torch.Tensor:
        """Computes the batch; what the head makes logits of, for draws and then for scored tokens."""
        wanted = [draw.row for draw in batch.draws]
        for score in batch.scores:
            wanted += range(score.row, score.row + len(score.token_ids))
        if not self._one_by_one:
            return self._forward(batch, wanted)
        last_rows = set(wanted)
        alone = [
            self._forward(single, [0] if row in last_rows else [])
            for row, single in enumerate(batches.one_by_one(batch))
        ]
        return torch.cat([alone[row] for row in wanted] or alone[:1])

    def _forward(self, batch: Batch, wanted: list[int]) -> torch.Tensor:
        attention = self._parts.attention(batch)
        token_ids = upload.indices(batch.token_ids, self._device)
        rows = upload.indices(wanted, self._device)
        return self._transformer.forward(token_ids, attention, self._store.layers, rows)


def measure_peak_bytes(
    transformer: Transformer,
    parts: Parts,
    shape: PageShape,
    device: torch.device,
    num_tokens: int,
    num_draws: int,
) -> int:
    """Memory that the largest step takes beyond weights and pages: one prefill that fills the budget."""
    num_pages = -(-num_tokens // shape.page_tokens)
    runner = TorchRunner(transformer, parts, PageStore(shape, num_pages, device), device)
    costly = SamplingParams(top_k=filters.HEAD + 1, top_p=0.5)  # sorts the vocabulary
    draws = [Draw(num_tokens - 1, costly, seed=0, number=0)] * num_draws
    batch = Batch([0] * num_tokens, [0], [num_tokens], [list(range(num_pages))], draws)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    runner.run(batch)
    peak = torch.cuda.max_memory_allocated(device) - before
    del runner  # and its pages, or they would not count as free
    torch.cuda.empty_cache()
    return peak
