"""Equal service to tenants: the virtual token counter of Sheng et al., "Fairness in Serving LLMs", OSDI 2024.

Each tenant has a counter of what it was served, and the one with the lowest goes first. A tenant that comes
back is lifted to the lowest counter of those that wait: it cannot save up service while it is away. No tenant
that always has something waiting falls behind another by more than a few requests' worth (their theorem 4.4).

One thing is added. Where tenants' names cost nothing, an endless row of new ones would begin at that lowest
counter and keep it there, and whoever stands above it would starve. So they begin no lower than where the
last admitted one stood when it had paid for its prompt (self-clocked fair queueing, Golestani, INFOCOM 1994).
"""

from collections.abc import Callable, Collection
from collections.abc import Sequence as Ordered

from kvring_node.batch import Chunk
from kvring_node.engine.strategies.line import Line, Place, arrival
from kvring_node.sequence import Sequence

INPUT_COST = 1
"""Of a token of the prompt that must be computed; one found in the cache costs nothing."""
OUTPUT_COST = 2
FEW_TENANTS = 1024
"""So many counters are kept without asking whether they still matter."""


class Fairness:
    """One line for each tenant.

    A sequence keeps for life the counter that its tenant had when it was first admitted. Whose is highest
    loses its pages first: the same order between two sequences at all times, and who takes more than its
    share runs first into the end of the pages, too.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._lines: dict[str, Line] = {}
        self._served: dict[str, int] = {}
        self._started_at: dict[Sequence, int] = {}
        self._level = 0
        self._review_at = FEW_TENANTS

    def push(self, sequence: Sequence) -> None:
        """Joins its tenant's line; a tenant of whom nobody waits is lifted."""
        tenant = sequence.tenant
        if tenant not in self._lines:
            if len(self._served) > self._review_at:
                self._forget_settled()
            self._served[tenant] = max(self._served.get(tenant, 0), self._lowest())
        self.push_back(sequence)

    def push_back(self, sequence: Sequence) -> None:
        """Returns to its place in its tenant's line; what it was served before is not counted again."""
        self._lines.setdefault(sequence.tenant, Line(arrival)).add(sequence)

    def peek(self) -> Sequence | None:
        """The earliest of the tenant that was served least; of equal tenants the earlier."""
        heads = (line.first for line in self._lines.values())
        return min((head for head in heads if head), key=self._place, default=None)

    def admit(self, sequence: Sequence) -> None:
        """Leaves the line, and the first time pays for what it must compute."""
        self._leave_line(sequence)
        if sequence not in self._started_at:
            tenant = sequence.tenant
            self._started_at[sequence] = self._served[tenant]
            self._served[tenant] += INPUT_COST * sequence.num_uncomputed
            self._level = max(self._level, self._served[tenant])

    def remove(self, sequence: Sequence) -> None:
        """Leaves; its tenant's counter stays."""
        self._leave_line(sequence)
        self._started_at.pop(sequence, None)

    def victim(self, running: Collection[Sequence]) -> Sequence:
        """The one that started when its tenant had been served most."""
        return max(running, key=lambda sequence: (self._started_at[sequence], *arrival(sequence)))

    def observe(self, chunks: Ordered[Chunk], duration_s: float) -> None:
        """New tokens are paid for, one for each answer that grows."""
        served = self._served
        for chunk in chunks:
            if chunk.reaches_end:
                sequence = chunk.sequence
                served[sequence.tenant] += OUTPUT_COST * (1 + len(sequence.siblings))

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def _place(self, sequence: Sequence) -> tuple[int, Place]:
        return self._served[sequence.tenant], arrival(sequence)

    def _leave_line(self, sequence: Sequence) -> None:
        line = self._lines.get(sequence.tenant)
        if line and line.discard(sequence) and not line:
            del self._lines[sequence.tenant]

    def _lowest(self) -> int:
        """The counter to which a tenant that comes back is lifted."""
        return max(self._level, min((self._served[tenant] for tenant in self._lines), default=0))

    def _forget_settled(self) -> None:
        """A tenant that would be lifted anyway when it comes back need not be remembered."""
        lowest = self._lowest()
        busy = self._lines.keys() | {sequence.tenant for sequence in self._started_at}
        self._served = {
            tenant: served for tenant, served in self._served.items() if served > lowest or tenant in busy
        }
        self._review_at = max(FEW_TENANTS, 2 * len(self._served))
