"""Page tables over paper memory, driven by numbers: what state machines and campaigns turn.

Every operation ends with `check()`, and each step reads back from memory, through the page tables, every
token that it would attend to: a page that was given away, shared or copied wrongly shows.
"""

from collections.abc import Sequence as Ordered
from dataclasses import dataclass

from kvring_node.messages import SamplingParams
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.pages.table import PageTables
from kvring_node.sequence import Sequence

MOST_RUNNING = 6


@dataclass(frozen=True)
class Turn:
    """What one sequence does in a step: numbers of any size, taken modulo what there is.

    `who` computes `num_tokens`; if that reaches its end it has `num_siblings` forks, and each goes on with
    its own one of `tokens`. `is_withdrawn`: it loses its pages after they were found, in the same step.
    """

    who: int
    num_tokens: int
    num_siblings: int = 0
    tokens: tuple[int, ...] = (0, 1, 0)
    is_withdrawn: bool = False


class World:
    """A pool, its tables, and the sequences that run."""

    def __init__(self, num_pages: int = 12, page_tokens: int = 4):
        self._page_tokens = page_tokens
        self._longest = num_pages * page_tokens
        self.pool = PagePool(num_pages)
        self.prefix = PrefixIndex(self.pool, b"root", page_tokens)
        self.tables = PageTables(self.pool, self.prefix, page_tokens)
        self.running: list[Sequence] = []
        self.preempted: list[Sequence] = []
        self.num_forks = 0
        self._memory: dict[int, int] = {}

    def step(self, turns: Ordered[Turn], arrivals: Ordered[tuple[int, ...]] = ()) -> None:
        """As the scheduler does: grow and seal who runs, admit others, compute, fork."""
        chunks: dict[Sequence, tuple[int, Turn]] = {}
        for turn in turns:
            if self.running:
                self._continue(turn, chunks)
        for sequence, (num_tokens, _) in chunks.items():
            self.tables.seal(sequence, num_tokens)
        for tokens in arrivals:
            self._arrive(tokens, chunks)
        self._run({sequence: num_tokens for sequence, (num_tokens, _) in chunks.items()})
        for sequence, (num_tokens, turn) in chunks.items():
            sequence.num_computed += num_tokens
            if not sequence.num_uncomputed:
                self._draw(sequence, turn)
        self.check()

    def preempt(self, who: int) -> None:
        """One that runs loses its pages and may return."""
        if self.running:
            self._preempt(self.running[who % len(self.running)])
        self.check()

    def finish(self, who: int) -> None:
        """One that runs is done."""
        if self.running:
            self.tables.release(self.running.pop(who % len(self.running)))
        self.check()

    def resume(self, who: int) -> None:
        """One that was preempted is admitted again, if there is room."""
        if self.preempted and len(self.running) < MOST_RUNNING:
            sequence = self.preempted[who % len(self.preempted)]
            if self._admit(sequence):
                self.preempted.remove(sequence)
        self.check()

    def forget(self) -> None:
        """No page is found any more."""
        self.pool.forget()
        assert self.pool.num_cached == 0
        self.check()

    def check(self) -> None:
        """All invariants, and the pool's sums beside those of the tables."""
        self.tables.check(self.running)
        held = [page for sequence in self.running for page in sequence.pages]
        assert self.pool.num_used == len(set(held))
        assert self.pool.num_saved == len(held) - len(set(held))
        assert self.tables.num_copies <= self.num_forks, "at most one page is copied a fork"

    def _continue(self, turn: Turn, chunks: dict[Sequence, tuple[int, Turn]]) -> None:
        sequence = self.running[turn.who % len(self.running)]
        if sequence in chunks:
            return
        if turn.is_withdrawn or not self.tables.grow(sequence):
            self.tables.grow(sequence)
            self._preempt(sequence)
        else:
            chunks[sequence] = (1 + turn.num_tokens % sequence.num_uncomputed, turn)

    def _arrive(self, tokens: tuple[int, ...], chunks: dict[Sequence, tuple[int, Turn]]) -> None:
        if len(self.running) == MOST_RUNNING or not 0 < len(tokens) < self._longest:
            return
        sequence = Sequence(
            "r", list(tokens), len(tokens), SamplingParams(), self._longest, frozenset(), seed=0
        )
        if self._admit(sequence):
            num_tokens = sequence.num_uncomputed
            chunks[sequence] = (num_tokens, Turn(0, num_tokens))
            self.tables.seal(sequence, num_tokens)

    def _admit(self, sequence: Sequence) -> bool:
        before = self.pool.num_available, self.pool.num_saved, self.pool.num_cached
        is_admitted = self.tables.admit(sequence)
        if is_admitted:
            self.running.append(sequence)
            assert sequence.num_uncomputed, "at least one token is computed, for its logits"
        else:
            assert not sequence.pages
            assert before == (self.pool.num_available, self.pool.num_saved, self.pool.num_cached)
        return is_admitted

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self.tables.release(sequence)
        self.preempted = [*self.preempted, sequence][-MOST_RUNNING:]

    def _run(self, chunks: dict[Sequence, int]) -> None:
        copies = self.tables.take_copies()
        targets = [target for _, target in copies]
        wanted = {sequence.pages[sequence.num_computed // self._page_tokens] for sequence in chunks}
        assert len(set(targets)) == len(targets), "a page is copied to once"
        assert set(targets) <= wanted, "copies are for those who write to them in this step"
        read = [
            (self._slot(target, i), self._memory.get(self._slot(source, i)))
            for source, target in copies
            for i in range(self._page_tokens)
        ]
        self._memory.update((slot, token) for slot, token in read if token is not None)
        for sequence, num_tokens in chunks.items():
            for position in range(sequence.num_computed, sequence.num_computed + num_tokens):
                self._memory[self._place(sequence, position)] = sequence.token_ids[position]
        for sequence, num_tokens in chunks.items():
            known = sequence.token_ids[: sequence.num_computed + num_tokens]
            assert [self._memory.get(self._place(sequence, i)) for i in range(len(known))] == known

    def _draw(self, sequence: Sequence, turn: Turn) -> None:
        born = [sequence]
        for _ in range(min(turn.num_siblings % 3, MOST_RUNNING - len(self.running))):
            sibling = Sequence(
                "r", list(sequence.token_ids), sequence.num_prompt_tokens, sequence.params,
                self._longest, frozenset(), seed=0,
            )  # fmt: skip
            self.tables.fork(sequence, sibling)
            self.running.append(sibling)
            self.num_forks += 1
            born.append(sibling)
        for one, token in zip(born, turn.tokens, strict=False):
            if one.append(token) is not None:
                self.running.remove(one)
                self.tables.release(one)

    def _place(self, sequence: Sequence, position: int) -> int:
        return self._slot(sequence.pages[position // self._page_tokens], position % self._page_tokens)

    def _slot(self, page: int, offset: int) -> int:
        return page * self._page_tokens + offset
