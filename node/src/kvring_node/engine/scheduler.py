"""Decides what the next step computes: one token budget, running sequences first, then waiting ones.

Prefill is nothing special: a sequence computes what is known and not computed yet, as much as the budget
allows (vLLM v1's unified scheduler). A sequence gets pages for all its known tokens when it is admitted, so
a long prompt never stands half computed in the way of another; only decoding grows, and when no page is
left the sequence that the strategy names gives up its pages and is computed again later.
"""

from dataclasses import dataclass
from typing import NamedTuple

from kvring_node.batch import Chunk, Drawn
from kvring_node.engine.ports import Strategy
from kvring_node.messages import FinishReason, TokenLogprobs
from kvring_node.pages.table import PageTables
from kvring_node.sequence import Phase, Sequence


@dataclass(frozen=True)
class Limits:
    """What one step and one sequence may take."""

    max_batch_tokens: int
    max_num_sequences: int


class Advance(NamedTuple):
    """A token that a step added to a sequence, and why the sequence ended, if it did."""

    sequence: Sequence
    token_id: int
    finish_reason: FinishReason | None
    logprobs: TokenLogprobs | None


class Scheduler:
    """Holds every sequence from its arrival to its end.

    Between two running sequences it is always the same one that loses its pages, and no sequence may outgrow
    the pool (the engine refuses it), so the most important one always ends, and therefore all do.
    """

    def __init__(self, tables: PageTables, strategy: Strategy, limits: Limits):
        self._tables = tables
        self._waiting = strategy
        self._limits = limits
        self._running: dict[Sequence, None] = {}
        self._num_arrivals = 0
        self.num_preemptions = 0

    @property
    def num_running(self) -> int:
        """Sequences that hold pages."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Sequences that hold none, siblings apart that are to fork off a running one."""
        return len(self._waiting)

    @property
    def num_pages_copied(self) -> int:
        """Partial pages that were copied because a fork wrote to them."""
        return self._tables.num_copies

    def add(self, sequence: Sequence) -> None:
        """Takes a sequence in, and its siblings with it."""
        for each in (sequence, *sequence.siblings):
            each.arrival = self._num_arrivals
        self._num_arrivals += 1
        self._waiting.push(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Forgets a sequence and takes its pages back, wherever it stands."""
        self._finish(sequence)

    def schedule(self, now: float) -> list[Chunk]:
        """Chooses the chunks of the next step; their pages are there. `now` is of the engine's clock."""
        chunks: list[Chunk] = []
        budget, preempted = self._continue_running(chunks)
        for sequence, num_tokens in chunks:
            self._tables.seal(sequence, num_tokens)
        if not preempted:  # whoever was just pushed out must not push out another in the same step
            self._admit_waiting(chunks, budget, now)
        return chunks

    def take_copies(self) -> list[tuple[int, int]]:
        """Pages that the step just scheduled must copy before it writes: from, to."""
        return self._tables.take_copies()

    def commit(self, chunks: list[Chunk], drawn: Drawn, duration_s: float) -> list[Advance]:
        """Makes true what a step computed in `duration_s`."""
        self._waiting.observe(chunks, duration_s)
        scores, draws = iter(drawn.scores), enumerate(drawn.token_ids)
        advances: list[Advance] = []
        for chunk in chunks:
            sequence, num_tokens = chunk
            reaches_end = chunk.reaches_end
            if drawn.scores and sequence.scores_prompt:
                sequence.prompt_logprobs += next(scores)
            sequence.num_computed += num_tokens
            if reaches_end:
                born = self._fork(sequence) if sequence.siblings else ()
                for drawing in (sequence, *born):
                    index, token_id = next(draws)
                    logprobs = drawn.logprobs[index] if drawn.logprobs else None
                    finish_reason = drawing.append(token_id)
                    advances.append(Advance(drawing, token_id, finish_reason, logprobs))
                    if finish_reason is not None:
                        self._finish(drawing)
        return advances

    def abandon(self) -> None:
        """A step failed: its pages may hold anything. Whoever runs starts again, and nothing is found."""
        while self._running:
            sequence, _ = self._running.popitem()
            self._line_up_again(sequence)
        self._tables.forget()

    def check(self) -> None:
        """Verifies every invariant of pages and page tables.

        Raises:
            AssertionError: naming the invariant that is broken.
        """
        self._tables.check(self._running)

    def _continue_running(self, chunks: list[Chunk]) -> tuple[int, bool]:
        budget = self._limits.max_batch_tokens
        preempted = False
        for sequence in list(self._running):
            if sequence.phase is not Phase.RUNNING or not budget:
                continue
            while not self._tables.grow(sequence):
                preempted = True
                victim = self._preempt()
                if victim is sequence:
                    break
                budget += _withdraw(victim, chunks)
            else:
                num_tokens = min(sequence.num_uncomputed, budget)
                chunks.append(Chunk(sequence, num_tokens))
                budget -= num_tokens
        return budget, preempted

    def _preempt(self) -> Sequence:
        sequence = self._waiting.victim(self._running)
        del self._running[sequence]
        self._line_up_again(sequence)
        self.num_preemptions += 1
        return sequence

    def _line_up_again(self, sequence: Sequence) -> None:
        self._tables.release(sequence)
        sequence.phase = Phase.WAITING
        self._waiting.push_back(sequence)

    def _admit_waiting(self, chunks: list[Chunk], budget: int, now: float) -> None:
        while budget and len(self._running) < self._limits.max_num_sequences:
            sequence = self._waiting.peek()
            if sequence is None or not self._tables.admit(sequence):
                return
            self._start(sequence)
            if sequence.first_scheduled_at is None:
                sequence.first_scheduled_at = now
            num_tokens = min(sequence.num_uncomputed, budget)
            chunks.append(Chunk(sequence, num_tokens))
            self._tables.seal(sequence, num_tokens)
            budget -= num_tokens

    def _fork(self, sequence: Sequence) -> list[Sequence]:
        """Its siblings start from its pages; those beyond the limit give theirs back and wait in line."""
        born, sequence.siblings = sequence.siblings, []
        for sibling in born:
            self._tables.fork(sequence, sibling)
            sibling.first_scheduled_at = sequence.first_scheduled_at
            sibling.prompt_logprobs = sequence.prompt_logprobs
            if len(self._running) < self._limits.max_num_sequences:
                self._waiting.push_back(sibling)
                self._start(sibling)
            else:
                self._line_up_again(sibling)
        return born

    def _start(self, sequence: Sequence) -> None:
        self._waiting.admit(sequence)
        self._running[sequence] = None
        sequence.phase = Phase.RUNNING

    def _finish(self, sequence: Sequence) -> None:
        if sequence.phase is not Phase.UNBORN:
            self._waiting.remove(sequence)
        self._running.pop(sequence, None)
        self._tables.release(sequence)
        sequence.phase = Phase.FINISHED


def _withdraw(sequence: Sequence, chunks: list[Chunk]) -> int:
    """Takes a sequence out of the step; how many tokens that leaves to others."""
    for position, chunk in enumerate(chunks):
        if chunk.sequence is sequence:
            del chunks[position]
            return chunk.num_tokens
    return 0
