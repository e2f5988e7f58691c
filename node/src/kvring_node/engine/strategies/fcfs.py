"""First come, first served."""

from collections.abc import Callable

from kvring_node.engine.strategies.line import FixedOrder, arrival


def make(clock: Callable[[], float]) -> FixedOrder:
    """A line in the order of arrival; who loses its pages is still ahead of all that came later."""
    return FixedOrder(arrival)
