"""Earliest deadline first among those whose deadline can still be met: as many answers in time as possible.

Earliest deadline first alone collapses under overload: it keeps serving requests that are late already while
fresh ones become late behind them. So whoever cannot make it any more, by what steps and answers have been
like lately, steps aside for those who can.
"""

from collections.abc import Callable, Collection
from collections.abc import Sequence as Ordered

from kvring_node.batch import Chunk
from kvring_node.engine.strategies.line import Line, Place
from kvring_node.engine.strategies.step_cost import DECAY, StepCost
from kvring_node.sequence import Sequence

PATIENCE_S = 60.0
"""A request without a deadline stands in line as if it had one so long after it came. It is never late."""
MARGIN = 1.25
"""Estimates are taken this much longer: who is admitted at the last moment must not be late by a hair."""
MOST_IN_A_ROW = 15
"""At most so many go before a late one; then the first of them is served, so that none starves."""


class Deadlines:
    """Two lines: by deadline, and the late ones by arrival."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._timely = Line(_deadline)
        self._late = Line(_arrival)
        self._num_in_a_row = 0
        self._step = StepCost()
        self._num_drawn = 0.0
        self._num_ended = 0.0

    def push(self, sequence: Sequence) -> None:
        """Takes its place by its deadline."""
        self._timely.add(sequence)

    def push_back(self, sequence: Sequence) -> None:
        """Takes its place by its deadline; whether it can be met is asked anew."""
        self._timely.add(sequence)

    def peek(self) -> Sequence | None:
        """The earliest deadline that can be met; a late one when none is left, or in its turn."""
        now = self._clock()
        while (first := self._timely.first) is not None and self._is_late(first, now):
            self._timely.discard(first)
            self._late.add(first)
        late = self._late.first
        if first is None or (late is not None and self._num_in_a_row >= MOST_IN_A_ROW):
            return late
        return first

    def admit(self, sequence: Sequence) -> None:
        """Leaves its line."""
        is_late = not self._timely.discard(sequence)
        self._late.discard(sequence)
        self._num_in_a_row = 0 if is_late or not self._late else self._num_in_a_row + 1

    def remove(self, sequence: Sequence) -> None:
        """Leaves its line, if it stands in one; its length says how long answers are."""
        self._timely.discard(sequence)
        self._late.discard(sequence)
        self._num_drawn = DECAY * self._num_drawn + sequence.num_generated
        self._num_ended = DECAY * self._num_ended + 1

    def victim(self, running: Collection[Sequence]) -> Sequence:
        """The one whose deadline is last."""
        return max(running, key=_deadline)

    def observe(self, chunks: Ordered[Chunk], duration_s: float) -> None:
        """Learns what steps cost."""
        self._step.observe(sum(chunk.num_tokens for chunk in chunks), duration_s)

    def __len__(self) -> int:
        return len(self._timely) + len(self._late)

    def _is_late(self, sequence: Sequence, now: float) -> bool:
        deadline_at = sequence.deadline_at
        return deadline_at is not None and now + MARGIN * self._remaining_s(sequence) > deadline_at

    def _remaining_s(self, sequence: Sequence) -> float:
        """Time to its end if it were admitted now: what is known at once, the rest a token a step."""
        num_left = float(sequence.max_tokens - len(sequence.token_ids))
        if self._num_ended:
            num_left = min(num_left, self._num_drawn / self._num_ended)
        return self._step.token_s * sequence.num_uncomputed + self._step.mean_s * num_left


def _deadline(sequence: Sequence) -> Place:
    deadline_at = sequence.deadline_at
    if deadline_at is None:
        deadline_at = sequence.arrived_at + PATIENCE_S
    return deadline_at, sequence.arrival, sequence.index


def _arrival(sequence: Sequence) -> Place:
    return 0.0, sequence.arrival, sequence.index
