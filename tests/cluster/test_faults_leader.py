"""The leader is killed or frozen in the middle of its work; who leads next goes on where it stopped."""

import datetime
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.support import audit, internal_calls, kube, pod_processes, pools, release

from kvring_contract import ring as rings

pytestmark = pytest.mark.cluster

LED_S = 60.0
"""A Lease of 15 s runs out, or the kubelet starts the container again, the second time after a back-off."""


@pytest.fixture(scope="module", autouse=True)
def fresh_operator(kvring: release.Release) -> Iterator[None]:
    """The kubelet waits ever longer before it restarts a container that dies; later tests start anew."""
    yield
    kvring.restart()


def kill_leader(kvring: release.Release) -> None:
    pod_processes.kill(kvring.api.get("Pod", kvring.leader(), release.NAMESPACE), "kvring_operator")


def fencing(api: kube.Api) -> int:
    return int(api.get("Lease", release.LEASE, release.NAMESPACE)["spec"]["leaseTransitions"])


def pod_writes(namespace: str, verb: str, since: datetime.datetime) -> Counter[str]:
    """How often the API server carried out this verb on each pod of the namespace, for the operator."""
    return Counter(
        write.name
        for write in audit.writes(audit.OPERATOR, since)
        if (write.namespace, write.resource, write.verb) == (namespace, "pods", verb) and write.code < 300
    )


def test_a_scale_up_is_finished_by_the_next_leader(
    api: kube.Api, pool: pools.Pool, kvring: release.Release
) -> None:
    before = pool.apply(pools.SMALL).wait_ready()["status"]["ring"]["epoch"]
    fenced, first, began_at = fencing(api), pool.staying().keys(), datetime.datetime.now(datetime.UTC)

    pool.scale(3)
    pool.until(pool.pods, lambda pods: len(pods) > 1, "a new pod is made")
    kill_leader(kvring)

    pool.until(lambda: fencing(api), lambda now: now > fenced, "another process leads", LED_S)
    status = pool.wait_ready(3)["status"]
    assert pool.staying().keys() == {"chat-0-1", "chat-1-1", "chat-2-1"} >= first
    assert status["ring"]["epoch"] > before
    assert set(pod_writes(pool.namespace, "create", began_at).values()) == {1}
    assert not pod_writes(pool.namespace, "delete", began_at)

    ring = internal_calls.ring_of(pool)
    for name in pool.staying():
        report = internal_calls.push(pool, name, fenced, rings.Ring(99, (), 1, 1))
        assert report.fencing == fencing(api), "a member does not know who leads"
        assert (report.ring_epoch, report.ring_checksum) == (ring.epoch, ring.checksum), (
            "a dead leader's push"
        )


def test_a_scale_down_is_finished_by_the_next_leader(
    api: kube.Api, pool: pools.Pool, kvring: release.Release
) -> None:
    pool.apply({**pools.SMALL, "replicas": 2}).wait_ready(2)
    fenced, began_at = fencing(api), datetime.datetime.now(datetime.UTC)

    pool.scale(1)
    pool.until(pool.staying, lambda pods: len(pods) == 1, "a member is told to leave")
    kill_leader(kvring)

    pool.until(lambda: fencing(api), lambda now: now > fenced, "another process leads", LED_S)
    pool.wait_ready(1)
    pool.until(pool.pods, lambda pods: len(pods) == 1, "one pod is left")
    assert pool.staying().keys() == {"chat-0-1"}
    assert pod_writes(pool.namespace, "delete", began_at) == {"chat-1-1": 1}
    assert not pod_writes(pool.namespace, "create", began_at)
    pool.ask_until_answered()


def test_a_frozen_leader_writes_nothing_when_it_thaws(
    api: kube.Api, pool: pools.Pool, kvring: release.Release
) -> None:
    pool.apply(pools.SMALL).wait_ready()
    fenced, leader = fencing(api), api.get("Pod", kvring.leader(), release.NAMESPACE)
    with pod_processes.frozen(leader, "kvring_operator"):
        pool.scale(2)
        pool.until(lambda: fencing(api), lambda now: now > fenced, "another replica leads", LED_S)
        pool.until(pool.staying, lambda pods: len(pods) == 2, "it goes on")
        thawed_at = datetime.datetime.now(datetime.UTC)
    pool.scale(1)
    pool.until(pool.pods, lambda pods: len(pods) == 1, "the new leader is followed")
    pool.wait_ready()

    name = leader["metadata"]["name"]
    assert kvring.leader() != name
    assert not [str(write) for write in audit.writes(audit.OPERATOR, thawed_at) if write.pod == name]
