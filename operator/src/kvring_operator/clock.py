"""Time as an argument: what the effectful rooms ask, and the real one."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Moments and waiting. Tests give a virtual one."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; for leases, back-off and deadlines."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch; for what is written into the cluster."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Return after `duration_s`."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Seconds since an unknown moment."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()  # noqa: TID251  # the one place that holds the real clock

    async def sleep(self, duration_s: float) -> None:
        """Return after `duration_s`."""
        await asyncio.sleep(duration_s)
