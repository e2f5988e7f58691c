"""The queue's promises, on a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.clock import VirtualClock, settle

from kvring_operator.workqueue import Backoff, WorkQueue


class Bench:
    """A queue with workers that stop at a gate until it is opened."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.queue: WorkQueue[str] = WorkQueue(
            self.clock, lambda: 1.0, Backoff(first_s=1, most_s=8, rate_per_s=2, burst=3)
        )
        self.visits: list[str] = []
        self.most_at_once: dict[str, int] = {}
        self.running: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def work(self, key: str) -> None:
        self.visits.append(key)
        self.running.append(key)
        self.most_at_once[key] = max(self.most_at_once.get(key, 0), self.running.count(key))
        await self.gate.wait()
        self.running.remove(key)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = asyncio.create_task(bench.queue.run(bench.work, 3))
    yield bench
    running.cancel()
    await asyncio.wait({running})


async def test_a_key_that_waits_is_not_queued_twice(bench: Bench) -> None:
    bench.queue.add("a")
    bench.queue.add("a")
    await settle()

    assert bench.visits == ["a"]


async def test_a_key_is_never_worked_on_twice_at_once_and_no_change_is_missed(bench: Bench) -> None:
    bench.gate.clear()
    bench.queue.add("a")
    await settle()
    bench.queue.add("a")
    bench.queue.add("a")
    await settle()
    bench.gate.set()
    await settle()

    assert bench.visits == ["a", "a"]
    assert bench.most_at_once == {"a": 1}


async def test_keys_do_not_wait_for_each_other(bench: Bench) -> None:
    bench.gate.clear()
    for key in "abc":
        bench.queue.add(key)
    await settle()

    assert bench.running == ["a", "b", "c"]


async def test_a_key_comes_back_at_its_earliest_moment_and_only_once(bench: Bench) -> None:
    bench.queue.add_after("a", 60)
    bench.queue.add_after("a", 5)
    bench.queue.add_after("a", 30)
    await bench.clock.advance(5)
    first = list(bench.visits)
    await bench.clock.advance(100)

    assert (first, bench.visits) == (["a"], ["a"])


async def test_a_change_makes_a_later_moment_unnecessary(bench: Bench) -> None:
    bench.queue.add_after("a", 5)
    bench.queue.add("a")
    await bench.clock.advance(10)

    assert bench.visits == ["a"]


async def test_failures_come_back_ever_later_until_forgiven(bench: Bench) -> None:
    delays = [bench.queue.retry("a") for _ in range(5)]
    bench.queue.forgive("a")
    await bench.clock.advance(60)

    assert delays == [1, 2, 4, 8, 8]
    assert bench.queue.retry("a") == 1


async def test_all_failures_together_keep_to_the_rate(bench: Bench) -> None:
    delays = [bench.queue.retry(f"k{number}") for number in range(10)]

    assert delays == [1, 1, 1, 1, 1, 1.5, 2, 2.5, 3, 3.5]


async def test_a_change_goes_before_what_is_merely_due(bench: Bench) -> None:
    bench.gate.clear()
    for key in ("busy-1", "busy-2", "busy-3"):
        bench.queue.add(key)
    bench.queue.add_after("due", 1)
    await bench.clock.advance(1)
    bench.queue.add("changed")
    bench.queue.add("due")
    bench.gate.set()
    await settle()

    assert bench.visits[3:] == ["changed", "due"]
