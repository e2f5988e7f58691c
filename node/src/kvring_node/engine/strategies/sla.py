"""Earliest deadline first among those whose deadline can still be met: as many answers in time as possible.

Earliest deadline first alone collapses under overload: it keeps serving requests that are late already while
fresh ones become late behind them. So whoever cannot make it any more, by what steps and answers have been
like lately, steps aside for those who can.
"""

from collections.abc import Callable, Collection
from collections.abc import Sequence as Ordered

from kvring_node.batch import Chunk
from kvring_node.engine.strategies.line import Line, Place, arrival
from kvring_node.engine.strategies.step_cost import DECAY, StepCost
from kvring_node.sequence import Sequence

PATIENCE_S = 60.0
"""A request without a deadline stands in line as if it had one so long after it came. It is never late."""
MARGIN = 1.5
"""Estimates are taken this much longer: steps become slower while others are admitted, too."""
LATE_SHARE = 1 / 16
"""Part of the time that prompts of late requests get while others can make it, so that none starves."""


class Deadlines:
    """Two lines: by deadline, and the late ones by arrival.

    A late one is admitted when nobody who can make it waits or runs, since its prompt would slow down every
    step; or in its turn, which comes when so much time has passed that its prompt is but a small part of it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._timely = Line(_deadline)
        self._late = Line(arrival)
        self._late_served_at = 0.0
        self._timely_running: set[Sequence] = set()
        self._step = StepCost()
        self._num_drawn = 0.0
        self._num_ended = 0.0

    def push(self, sequence: Sequence) -> None:
        """Takes its place by its deadline."""
        self._timely.add(sequence)

    def push_back(self, sequence: Sequence) -> None:
        """Takes its place by its deadline; whether it can be met is asked anew."""
        self._timely_running.discard(sequence)
        self._timely.add(sequence)

    def peek(self) -> Sequence | None:
        """The earliest deadline that can be met; a late one when nobody minds, or in its turn."""
        now = self._clock()
        while (first := self._timely.first) is not None and self._is_late(first, now):
            self._step_aside(first, now)
        late = self._late.first
        if late is None or ((first or self._timely_running) and not self._has_turn(late, now)):
            return first
        return late

    def admit(self, sequence: Sequence) -> None:
        """Leaves its line."""
        if self._timely.discard(sequence):
            self._timely_running.add(sequence)
        else:
            self._late.discard(sequence)
            self._late_served_at = self._clock()

    def remove(self, sequence: Sequence) -> None:
        """Leaves; its length says how long answers are."""
        self._timely.discard(sequence)
        self._late.discard(sequence)
        self._timely_running.discard(sequence)
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

    def _step_aside(self, sequence: Sequence, now: float) -> None:
        if not self._late:
            self._late_served_at = now
        self._timely.discard(sequence)
        self._late.add(sequence)

    def _has_turn(self, sequence: Sequence, now: float) -> bool:
        return (now - self._late_served_at) * LATE_SHARE > self._prompt_s(sequence)

    def _is_late(self, sequence: Sequence, now: float) -> bool:
        deadline_at = sequence.deadline_at
        return deadline_at is not None and now + MARGIN * self._remaining_s(sequence) > deadline_at

    def _remaining_s(self, sequence: Sequence) -> float:
        """Time to its end if it were admitted now: its prompt, then a token a step."""
        num_left = float(sequence.max_tokens - len(sequence.token_ids))
        if self._num_ended:
            num_left = min(num_left, self._num_drawn / self._num_ended)
        return self._prompt_s(sequence) + self._step.mean_s * num_left

    def _prompt_s(self, sequence: Sequence) -> float:
        return self._step.token_s * sequence.num_uncomputed


def _deadline(sequence: Sequence) -> Place:
    deadline_at = sequence.deadline_at
    if deadline_at is None:
        deadline_at = sequence.arrived_at + PATIENCE_S
    return deadline_at, sequence.arrival, sequence.index
