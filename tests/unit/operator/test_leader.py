"""The election on a double of the API server and a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support import poll_async
from tests.support.api_double import ApiDouble
from tests.support.clock import VirtualClock

from kvring_operator import leader
from kvring_operator.kube import ApiError, Kube
from kvring_operator.leader import Elector, LostLease
from kvring_operator.resources import LEASES

LEASE = "kvring-operator"


class Replica:
    """One operator that takes part in the election, with a clock of its own."""

    def __init__(self, kube: Kube, name: str, lease_name: str = LEASE) -> None:
        self.clock = VirtualClock()
        self.elector = Elector(kube, self.clock, "kvring-system", lease_name, name)
        self.leads = False
        self.task = asyncio.create_task(self.elector.lead(self._work))

    async def _work(self) -> None:
        self.leads = True
        try:
            await self.elector.renew()
        finally:
            self.leads = False

    async def later(self, duration_s: float) -> None:
        """Let its clock run in steps, and its requests be answered in between."""
        end = self.clock.now + duration_s
        while self.clock.now < end and not self.task.done():
            await poll_async.until(lambda: bool(self.clock.sleeping) or self.task.done())
            if self.clock.sleeping:
                await self.clock.advance(min(self.clock.sleeping[0], end - self.clock.now))
        await poll_async.until(lambda: bool(self.clock.sleeping) or self.task.done())


@pytest.fixture
async def api() -> AsyncIterator[ApiDouble]:
    async with ApiDouble().serve() as double:
        yield double


@pytest.fixture
async def kube(api: ApiDouble) -> AsyncIterator[Kube]:
    client = Kube(api.login)
    yield client
    await client.close()


async def end(*replicas: Replica) -> None:
    for replica in replicas:
        replica.task.cancel()
        await asyncio.wait({replica.task})


def lease(api: ApiDouble) -> dict[str, object]:
    found = api.get(LEASES, "kvring-system", LEASE)
    assert found
    spec: dict[str, object] = found["spec"]
    return spec


async def test_the_first_leads_and_the_second_waits(kube: Kube) -> None:
    first = Replica(kube, "a")
    await first.later(0)
    second = Replica(kube, "b")
    for _ in range(20):
        await first.later(2)
        await second.later(2)

    assert (first.leads, second.leads) == (True, False)
    await end(first, second)


async def test_the_second_leads_when_the_first_is_silent_for_a_whole_lease(kube: Kube) -> None:
    first = Replica(kube, "a")
    await first.later(4)
    second = Replica(kube, "b")
    await second.later(leader.DURATION_S - 3)
    before = second.leads
    await second.later(5)

    assert (before, second.leads) == (False, True)
    assert second.elector.fencing == first.elector.fencing + 1
    await end(first, second)


async def test_two_releases_in_one_namespace_both_lead(kube: Kube) -> None:
    first, second = Replica(kube, "a"), Replica(kube, "b", "second-kvring-operator")
    await first.later(2)
    await second.later(2)

    assert (first.leads, second.leads) == (True, True)
    await end(first, second)


async def test_a_leader_that_was_succeeded_stops_at_once(kube: Kube) -> None:
    first = Replica(kube, "a")
    await first.later(0)
    second = Replica(kube, "b")
    await second.later(20)
    await first.later(4)

    assert isinstance(first.task.exception(), LostLease)
    assert second.leads
    await end(second)


async def test_a_leader_that_cannot_renew_stops_before_its_lease_is_over(api: ApiDouble, kube: Kube) -> None:
    first = Replica(kube, "a")
    await first.later(2)
    api.fail("GET", "/leases", 500, times=100)
    api.fail("PUT", "/leases", 500, times=100)
    await first.later(30)

    assert isinstance(first.task.exception(), LostLease)
    assert first.clock.now < leader.DURATION_S


async def test_a_short_outage_is_survived(api: ApiDouble, kube: Kube) -> None:
    first = Replica(kube, "a")
    await first.later(2)
    api.fail("PUT", "/leases", 500, times=3)
    await first.later(30)

    assert first.leads
    await end(first)


async def test_a_released_lease_is_taken_at_once(api: ApiDouble, kube: Kube) -> None:
    first = Replica(kube, "a")
    await first.later(2)
    fencing = first.elector.fencing
    await end(first)
    assert lease(api)["holderIdentity"] == ""
    second = Replica(kube, "b")
    await second.later(0)

    assert second.leads
    assert second.elector.fencing == fencing + 1
    await end(second)


async def test_a_lease_that_somebody_deleted_does_not_set_the_fencing_back(
    api: ApiDouble, kube: Kube
) -> None:
    first = Replica(kube, "a")
    await first.later(0)
    before = first.elector.fencing
    await end(first)
    api.take(LEASES, "kvring-system", LEASE)
    second = Replica(kube, "b")
    second.clock.now = 120
    await second.later(0)

    assert second.elector.fencing > before
    await end(second)


async def test_a_restarted_container_is_a_new_leader_under_its_old_name(kube: Kube) -> None:
    first = Replica(kube, "a")
    await first.later(0)
    second = Replica(kube, "a")
    await second.later(0)

    assert second.leads
    assert second.elector.fencing == first.elector.fencing + 1
    await end(first, second)


async def test_a_leader_that_was_frozen_writes_nothing_when_it_thaws(kube: Kube) -> None:
    frozen = Replica(kube, "a")
    await frozen.later(0)
    before = frozen.elector.token()
    frozen.clock.now += leader.DEADLINE_S

    assert before == frozen.elector.fencing
    with pytest.raises(ApiError, match="another replica may lead"):
        frozen.elector.token()
    await end(frozen)
