"""A clock that stands still until a test moves it; who sleeps on it wakes when the moment has come."""

import asyncio
import heapq
import itertools

START = 1_800_000_000.0
"""Where virtual wall clocks begin, in seconds since the Unix epoch."""
MANY_TURNS = 200
"""Turns of the event loop after which every task that can go on has gone on."""


class VirtualClock:
    """Implements `kvring_operator.clock.Clock`."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return START + self.now

    async def sleep(self, duration_s: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + duration_s, next(self._order), woken))
        await woken

    @property
    def sleeping(self) -> list[float]:
        """Seconds from now at which somebody wants to wake, soonest first."""
        return [due - self.now for due, _, woken in sorted(self._sleepers) if not woken.done()]

    async def advance(self, duration_s: float) -> None:
        """Let `duration_s` pass: each sleeper wakes at its own moment, and what it does takes no time."""
        end = self.now + duration_s
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await settle()
        self.now = end
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(MANY_TURNS):
        await asyncio.sleep(0)
