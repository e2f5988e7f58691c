"""First come, first served."""

from collections.abc import Callable

from kvring_node.engine.strategies.line import FixedOrder, Place
from kvring_node.sequence import Sequence


def make(clock: Callable[[], float]) -> FixedOrder:
    """A line in the order of arrival; who loses its pages is still ahead of all that came later."""
    return FixedOrder(_place)


def _place(sequence: Sequence) -> Place:
    return 0.0, sequence.arrival, sequence.index
