"""A cache that tells the truth through 410, broken watches, errors and lost deletions."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support import poll_async
from tests.support.api_double import ApiDouble
from tests.support.clock import VirtualClock

from kvring_operator.kube import Kube, Object
from kvring_operator.reflector import Cache, ObjectKey, Reflector
from kvring_operator.resources import PODS

Change = tuple[str | None, str | None]


class Watched:
    """A reflector at work on a double, and what it told."""

    def __init__(self, api: ApiDouble, kube: Kube) -> None:
        self.api = api
        self.clock = VirtualClock()
        self.told: list[Change] = []
        self.cache: Cache[str] = Cache(
            lambda body: body["spec"]["node"], lambda view: view, lambda a, b: self.told.append((a, b))
        )
        self.reflector = Reflector(kube, self.clock, PODS, self.cache, selector="app")

    async def sees(self, **names: str) -> None:
        wanted = {ObjectKey("default", name): node for name, node in names.items()}
        await poll_async.until(lambda: wanted == {key: self.cache.get(key) for key in self.cache.keys("")})


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    async with ApiDouble().serve() as api:
        kube = Kube(api.login)
        watched = Watched(api, kube)
        api.put(PODS, pod("a", "m1"))
        running = asyncio.create_task(watched.reflector.run())
        await watched.reflector.has_synced.wait()
        await poll_async.until(lambda: api.num_watches == 1)
        yield watched
        running.cancel()
        await asyncio.wait({running})
        await kube.close()


def pod(name: str, node: str, **labels: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": labels or {"app": "x"}}
    return {"metadata": meta, "spec": {"node": node}}


async def test_the_first_list_is_told(watched: Watched) -> None:
    await watched.sees(a="m1")

    assert watched.told == [(None, "m1")]


async def test_changes_are_told_and_indexed(watched: Watched) -> None:
    watched.api.put(PODS, pod("a", "m2"))
    watched.api.put(PODS, pod("b", "m2"))

    await watched.sees(a="m2", b="m2")

    assert watched.cache.of("m2") == ("m2", "m2")
    assert watched.cache.of("m1") == ()


async def test_a_change_that_nobody_decides_by_is_not_told(watched: Watched) -> None:
    watched.api.put(PODS, {**pod("a", "m1"), "status": {"heartbeat": 1}})
    watched.api.put(PODS, pod("b", "m1"))
    await watched.sees(a="m1", b="m1")

    assert watched.told == [(None, "m1"), (None, "m1")]


async def test_an_object_that_loses_its_label_is_gone(watched: Watched) -> None:
    watched.api.put(PODS, pod("a", "m1", other="x"))

    await watched.sees()

    assert watched.told[-1] == ("m1", None)


async def test_no_ghost_stays_after_410(watched: Watched) -> None:
    """kopf's index keeps objects that were deleted while nobody watched; a ring would keep a dead member."""
    watched.api.fail("GET", "watch=true", 410)
    watched.api.take(PODS, "default", "a")
    watched.api.put(PODS, pod("b", "m1"))
    watched.api.forget(PODS)
    watched.api.drop_watches()

    await watched.sees(b="m1")


async def test_a_dropped_watch_is_taken_up_again(watched: Watched) -> None:
    watched.api.drop_watches()
    watched.api.put(PODS, pod("b", "m1"))

    await watched.sees(a="m1", b="m1")


async def test_errors_are_waited_out_longer_each_time(watched: Watched) -> None:
    watched.api.fail("GET", "/pods", 500, times=3)
    watched.api.drop_watches()
    delays = []
    for _ in range(3):
        await poll_async.until(lambda: bool(watched.clock.sleeping))
        delays.append(watched.clock.sleeping[0])
        await watched.clock.advance(delays[-1])

    watched.api.put(PODS, pod("b", "m1"))
    await watched.sees(a="m1", b="m1")
    assert delays == [0.5, 1.0, 2.0]


async def test_our_own_write_is_known_before_the_watch_tells_it(watched: Watched) -> None:
    answer = {**pod("b", "m1"), "metadata": {**pod("b", "m1")["metadata"], "resourceVersion": "999999"}}

    watched.reflector.wrote(answer)

    assert watched.cache.get(ObjectKey("default", "b")) == "m1"


async def test_our_own_write_does_not_bring_back_what_the_watch_saw_go(watched: Watched) -> None:
    answer = watched.api.put(PODS, pod("b", "m1"))
    await watched.sees(a="m1", b="m1")
    stored = watched.api.get(PODS, "default", "b")
    watched.api.take(PODS, "default", "b")
    await watched.sees(a="m1")

    watched.reflector.wrote(stored or answer)

    assert watched.cache.get(ObjectKey("default", "b")) is None
