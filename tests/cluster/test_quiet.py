"""A settled pool is left alone: by an operator with nothing to do, and by one that starts anew."""

import datetime
import os

import pytest
from tests.support import audit, kube, poll, pools, release

pytestmark = pytest.mark.cluster

IDLE_S = float(os.environ.get("KVRING_IDLE_S", "60"))
"""Seconds of watching; 300 for the long look."""
QUIET = datetime.timedelta(seconds=5)


def writes_since(moment: datetime.datetime) -> list[audit.Write]:
    return audit.writes(audit.OPERATOR, since=moment)


def lives(pods: dict[str, kube.Object]) -> dict[str, tuple[str, int]]:
    """What changes when a pod or its container is replaced."""
    return {
        name: (pod["metadata"]["uid"], sum(one["restartCount"] for one in pod["status"]["containerStatuses"]))
        for name, pod in pods.items()
    }


@pytest.mark.timeout(IDLE_S + 540)
def test_an_idle_operator_writes_nothing(shared_pool: pools.Pool) -> None:
    shared_pool.edit({"replicas": 2})
    shared_pool.wait_ready(2)
    # An event may follow the status that it tells of; pools of earlier tests may still be on their way out.
    quiet_at = poll.until(
        lambda: datetime.datetime.now(datetime.UTC),
        lambda now: not writes_since(now - QUIET),
        what=f"nothing is written for {QUIET}",
        within_s=60,
    )
    poll.throughout(
        lambda: "\n".join(map(str, writes_since(quiet_at))),
        lambda written: not written,
        what="the operator has nothing to write",
        for_s=IDLE_S,
        every_s=2,
    )


def test_an_operator_that_starts_anew_replaces_nothing_and_turns_no_epoch(
    shared_pool: pools.Pool, kvring: release.Release
) -> None:
    shared_pool.edit({"replicas": 2})
    ring = shared_pool.wait_ready(2)["status"]["ring"]
    pods, started_at = lives(shared_pool.staying()), datetime.datetime.now(datetime.UTC)
    kvring.restart()
    shared_pool.edit(
        {"rollout": {"maxSurge": 2}}
    )  # changes no pod: its echo shows that the new leader was here
    found = shared_pool.wait_ready(2)
    assert found["status"]["ring"] == ring
    assert lives(shared_pool.staying()) == pods
    written = {
        write.resource for write in writes_since(started_at) if write.namespace == shared_pool.namespace
    }
    assert written == {"inferenceclusters/status"}
