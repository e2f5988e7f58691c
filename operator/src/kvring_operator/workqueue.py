"""A keyed work queue: a key waits once, one worker has it at a time, and after a failure it comes back later.

The contract is client-go's: a key that is added while it is being worked on is worked on again afterwards, so
no change is ever missed, and no two workers ever act on one resource. Failures come back after an exponential
delay with jitter, never faster than a token bucket lets all keys together.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kvring_operator.clock import Clock

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Backoff:
    """Delays after failures: `first_s` doubled a failure up to `most_s`; all keys share the bucket's rate."""

    first_s: float = 0.2
    most_s: float = 60.0
    rate_per_s: float = 20.0
    burst: int = 40


class WorkQueue(Generic[K]):
    """Feed it with `add`; `run` calls the worker for each key until cancelled."""

    def __init__(self, clock: Clock, jitter: Callable[[], float], backoff: Backoff | None = None) -> None:
        """`jitter` gives numbers in [0, 1)."""
        self._clock = clock
        self._jitter = jitter
        self._backoff = backoff or Backoff()
        self._urgent: deque[K] = deque()
        self._routine: deque[K] = deque()
        self._waiting: set[K] = set()
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._due: dict[K, tuple[float, asyncio.Task[None]]] = {}
        self._failures: dict[K, int] = {}
        self._tokens = float(self._backoff.burst)
        self._filled_at = clock.monotonic()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Something changed: work on `key` before everything whose time has merely come."""
        self._enqueue(key, self._urgent)

    def add_after(self, key: K, delay_s: float) -> None:
        """Work on `key` after `delay_s` at the latest; an earlier moment that is already set stays."""
        due = self._clock.monotonic() + delay_s
        if key in self._due and self._due[key][0] <= due:
            return
        self._cancel_timer(key)
        self._due[key] = (due, asyncio.create_task(self._later(key, delay_s)))

    def retry(self, key: K) -> float:
        """Work on `key` again after its back-off; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._backoff.first_s * 2.0 ** min(failures, 30), self._backoff.most_s)
        delay = max(delay * (0.5 + self._jitter() / 2), self._take_token())
        self.add_after(key, delay)
        return delay

    def forgive(self, key: K) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    async def run(self, work: Callable[[K], Awaitable[None]], num_workers: int) -> None:
        """Run workers until cancelled or until `work` raises: it deals with its own failures."""
        async with asyncio.TaskGroup() as group:
            for _ in range(num_workers):
                group.create_task(self._worker(work))

    async def _worker(self, work: Callable[[K], Awaitable[None]]) -> None:
        while True:
            key = await self._next()
            self._running.add(key)
            try:
                await work(key)
            finally:
                self._running.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _next(self) -> K:
        while not self._waiting:
            self._routine.clear()  # what is left there was in both lines, and has been worked on
            self._wake.clear()
            await self._wake.wait()
        while True:
            key = (self._urgent or self._routine).popleft()
            if key in self._waiting:  # else it was in both lines, and has been worked on
                self._waiting.discard(key)
                return key

    def _enqueue(self, key: K, line: deque[K]) -> None:
        self._cancel_timer(key)
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting or (line is self._urgent and key not in self._urgent):
            self._waiting.add(key)
            line.append(key)
            self._wake.set()

    async def _later(self, key: K, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        del self._due[key]
        self._enqueue(key, self._routine)

    def _cancel_timer(self, key: K) -> None:
        if due := self._due.pop(key, None):
            due[1].cancel()

    def _take_token(self) -> float:
        """Seconds until the shared bucket has a token for this caller."""
        now = self._clock.monotonic()
        rate = self._backoff.rate_per_s
        self._tokens = min(self._backoff.burst, self._tokens + (now - self._filled_at) * rate) - 1
        self._filled_at = now
        return max(0.0, -self._tokens / rate)
