"""First come, first served."""

from collections.abc import Callable, Collection
from collections.abc import Sequence as Ordered

from kvring_node.batch import Chunk
from kvring_node.sequence import Sequence


class FirstComeFirstServed:
    """One line; sequences that lost their pages return to its head."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._head: list[Sequence] = []
        self._line: dict[Sequence, None] = {}

    def push(self, sequence: Sequence) -> None:
        """Joins the end of the line."""
        self._line[sequence] = None

    def push_back(self, sequence: Sequence) -> None:
        """Returns to the head of the line."""
        self._head.append(sequence)

    def peek(self) -> Sequence | None:
        """The head of the line."""
        if self._head:
            return self._head[-1]
        return next(iter(self._line), None)

    def remove(self, sequence: Sequence) -> None:
        """Leaves the line, from any place."""
        if sequence in self._line:
            del self._line[sequence]
        else:
            self._head.remove(sequence)

    def victim(self, running: Collection[Sequence]) -> Sequence:
        """The last one admitted."""
        *_, last = running
        return last

    def observe(self, chunks: Ordered[Chunk], duration_s: float) -> None:
        """Nothing depends on what was computed."""

    def __len__(self) -> int:
        return len(self._head) + len(self._line)
