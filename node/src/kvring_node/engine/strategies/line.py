"""What strategies are built of: a waiting line in a fixed order."""

import bisect
from collections.abc import Callable, Collection
from collections.abc import Sequence as Ordered

from kvring_node.batch import Chunk
from kvring_node.sequence import Sequence

Place = tuple[float, int, int]
"""Lower goes first. No two sequences share one: it ends with the request's number and the answer's."""


def arrival(sequence: Sequence) -> Place:
    """The order in which requests came."""
    return 0.0, sequence.arrival, sequence.index


class Line:
    """Sequences in the order of their places, which never change."""

    def __init__(self, place: Callable[[Sequence], Place]) -> None:
        self._place = place
        self._sequences: list[Sequence] = []

    @property
    def first(self) -> Sequence | None:
        """The head of the line; it stays there."""
        return self._sequences[0] if self._sequences else None

    def add(self, sequence: Sequence) -> None:
        """Takes its place."""
        bisect.insort(self._sequences, sequence, key=self._place)

    def discard(self, sequence: Sequence) -> bool:
        """Leaves, from any place; says whether it stood here."""
        position = bisect.bisect_left(self._sequences, self._place(sequence), key=self._place)
        if self._sequences[position : position + 1] != [sequence]:
            return False
        del self._sequences[position]
        return True

    def __len__(self) -> int:
        return len(self._sequences)


class FixedOrder:
    """A strategy in which each sequence has one place from its arrival to its end, waiting or running."""

    def __init__(self, place: Callable[[Sequence], Place]) -> None:
        self._place = place
        self._line = Line(place)

    def push(self, sequence: Sequence) -> None:
        """Takes its place in the line."""
        self._line.add(sequence)

    def push_back(self, sequence: Sequence) -> None:
        """Returns to its place."""
        self._line.add(sequence)

    def peek(self) -> Sequence | None:
        """The head of the line."""
        return self._line.first

    def admit(self, sequence: Sequence) -> None:
        """Leaves the line."""
        self._line.discard(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Leaves the line, if it stands there."""
        self._line.discard(sequence)

    def victim(self, running: Collection[Sequence]) -> Sequence:
        """The one whose place is last."""
        return max(running, key=self._place)

    def observe(self, chunks: Ordered[Chunk], duration_s: float) -> None:
        """Nothing depends on what was computed."""

    def __len__(self) -> int:
        return len(self._line)
