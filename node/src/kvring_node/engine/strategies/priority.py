"""The most important first, and nobody waits for ever: waiting is exchanged for importance at a fixed rate.

With a fixed rate two sequences never change places, however long they wait: whoever is one level less
important goes first exactly if it came `AGEING_S` earlier. So the order is known on arrival.
"""

from collections.abc import Callable

from kvring_node.engine.strategies.line import FixedOrder, Place
from kvring_node.sequence import Sequence

AGEING_S = 10.0
"""Seconds of waiting that make up for one level."""
MOST_LEVELS = 100
"""Priorities beyond -100 and 100 count as these: nobody is overtaken by who comes 2,000 s later."""


def make(clock: Callable[[], float]) -> FixedOrder:
    """Lower numbers first, as in vLLM; of equals the earlier one."""
    return FixedOrder(_place)


def _place(sequence: Sequence) -> Place:
    level = max(-MOST_LEVELS, min(sequence.priority, MOST_LEVELS))
    return sequence.arrived_at + AGEING_S * level, sequence.arrival, sequence.index
