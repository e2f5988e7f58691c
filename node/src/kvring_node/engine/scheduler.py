"""Decides what the next step computes: one token budget, running sequences first, then waiting ones.

Prefill is nothing special: a sequence computes what is known and not computed yet, as much as the budget
allows (vLLM v1's unified scheduler). A sequence gets pages for all its known tokens when it is admitted, so
a long prompt never stands half computed in the way of another; only decoding grows, and when no page is
left the last sequence that runs gives up its pages and is computed again later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kvring_node.batch import Chunk
from kvring_node.engine.ports import Strategy
from kvring_node.messages import FinishReason
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


class Scheduler:
    """Holds every sequence from its arrival to its end.

    The first sequence that runs is never preempted in favour of another, and no sequence may outgrow the pool
    (the engine refuses it), so the first always ends, and therefore all do.
    """

    def __init__(self, tables: PageTables, strategy: Strategy, limits: Limits):
        self._tables = tables
        self._waiting = strategy
        self._limits = limits
        self._running: dict[str, Sequence] = {}
        self._sequences: dict[str, Sequence] = {}
        self.num_preemptions = 0

    @property
    def num_running(self) -> int:
        """Sequences that hold pages."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Sequences that hold none."""
        return len(self._waiting)

    def page_tables(self) -> Iterator[list[int]]:
        """Page tables of all sequences, for the pool's check."""
        return (sequence.pages for sequence in self._sequences.values())

    def add(self, sequence: Sequence) -> None:
        """Takes a sequence in.

        Raises:
            ValueError: a sequence of this id is here already.
        """
        if sequence.sequence_id in self._sequences:
            raise ValueError(f"sequence {sequence.sequence_id} is here already")
        self._sequences[sequence.sequence_id] = sequence
        self._waiting.push(sequence)

    def cancel(self, sequence_id: str) -> None:
        """Forgets a sequence and takes its pages back; an unknown id has ended already."""
        sequence = self._sequences.get(sequence_id)
        if sequence is None:
            return
        if sequence.phase is Phase.WAITING:
            self._waiting.remove(sequence)
        self._finish(sequence)

    def schedule(self) -> list[Chunk]:
        """Chooses the chunks of the next step; their pages are there."""
        chunks: list[Chunk] = []
        budget, preempted = self._continue_running(chunks)
        if not preempted:  # whoever was just pushed out must not push out another in the same step
            self._admit_waiting(chunks, budget)
        return chunks

    def commit(self, chunks: list[Chunk], token_ids: list[int]) -> list[Advance]:
        """Makes true what a step computed. `token_ids` has one for each chunk that reached its end."""
        new_tokens = iter(token_ids)
        advances: list[Advance] = []
        for chunk in chunks:
            sequence, num_tokens = chunk
            reaches_end = chunk.reaches_end
            sequence.num_computed += num_tokens
            self._tables.seal(sequence)
            if reaches_end:
                token_id = next(new_tokens)
                finish_reason = sequence.append(token_id)
                advances.append(Advance(sequence, token_id, finish_reason))
                if finish_reason is not None:
                    self._finish(sequence)
        return advances

    def _continue_running(self, chunks: list[Chunk]) -> tuple[int, bool]:
        budget = self._limits.max_batch_tokens
        preempted = False
        for sequence in list(self._running.values()):
            if sequence.phase is not Phase.RUNNING or not budget:
                continue
            while not self._tables.grow(sequence):
                preempted = True
                if self._preempt_last() is sequence:
                    break
            else:
                num_tokens = min(sequence.num_uncomputed, budget)
                chunks.append(Chunk(sequence, num_tokens))
                budget -= num_tokens
        return budget, preempted

    def _preempt_last(self) -> Sequence:
        _, sequence = self._running.popitem()
        self._tables.release(sequence)
        sequence.phase = Phase.WAITING
        self._waiting.push_back(sequence)
        self.num_preemptions += 1
        return sequence

    def _admit_waiting(self, chunks: list[Chunk], budget: int) -> None:
        while budget and len(self._running) < self._limits.max_num_sequences:
            sequence = self._waiting.peek()
            if sequence is None or not self._tables.admit(sequence):
                return
            self._waiting.remove(sequence)
            sequence.phase = Phase.RUNNING
            self._running[sequence.sequence_id] = sequence
            num_tokens = min(sequence.num_uncomputed, budget)
            chunks.append(Chunk(sequence, num_tokens))
            budget -= num_tokens

    def _finish(self, sequence: Sequence) -> None:
        self._running.pop(sequence.sequence_id, None)
        self._tables.release(sequence)
        sequence.phase = Phase.FINISHED
        del self._sequences[sequence.sequence_id]
