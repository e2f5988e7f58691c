"""First come, first served."""

from kvring_node.sequence import Sequence


class FirstComeFirstServed:
    """One line; sequences that lost their pages return to its head."""

    def __init__(self) -> None:
        self._head: list[Sequence] = []
        self._line: dict[str, Sequence] = {}

    def push(self, sequence: Sequence) -> None:
        """Joins the end of the line."""
        self._line[sequence.sequence_id] = sequence

    def push_back(self, sequence: Sequence) -> None:
        """Returns to the head of the line."""
        self._head.append(sequence)

    def peek(self) -> Sequence | None:
        """The head of the line."""
        if self._head:
            return self._head[-1]
        return next(iter(self._line.values()), None)

    def remove(self, sequence: Sequence) -> None:
        """Leaves the line, from any place."""
        if self._line.pop(sequence.sequence_id, None) is None:
            self._head.remove(sequence)

    def __len__(self) -> int:
        return len(self._head) + len(self._line)
