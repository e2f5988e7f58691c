"""The API server dies, or a namespace goes while no operator runs: members serve on, all is mended after."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dev.cluster import control_plane, processes
from tests.support import kube, pod_processes, poll, pools, release, rooms

pytestmark = pytest.mark.cluster

GIVEN_UP_S = 90.0
"""The leader ends when it could not renew its Lease for 10 s; its requests time out after 30 s."""
GONE_S = 90.0


@pytest.fixture(scope="module", autouse=True)
def fresh_operator(kvring: release.Release) -> Iterator[None]:
    """The kubelet waits ever longer before it restarts a container that dies; later tests start anew."""
    yield
    kvring.restart()


def lives(pool: pools.Pool) -> dict[str, tuple[str, int]]:
    """What changes when a pod or its container is replaced."""
    return {
        name: (
            pod["metadata"]["uid"],
            sum(status["restartCount"] for status in pod["status"]["containerStatuses"]),
        )
        for name, pod in pool.staying().items()
    }


def test_a_dead_api_server_costs_no_pod_and_no_request(pool: pools.Pool, kvring: release.Release) -> None:
    ring = pool.apply(pools.SMALL).wait_ready()["status"]["ring"]
    before, (pod,) = lives(pool), pool.pods()
    leader = kvring.api.get("Pod", kvring.leader(), release.NAMESPACE)
    leading = Path(f"/proc/{pod_processes.pid(leader, 'kvring_operator')}")
    server = control_plane.api_server()
    record = processes.read(server.record)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    try:
        with httpx.Client(
            base_url=f"http://{pod['status']['podIP']}:8000", timeout=30, trust_env=False
        ) as http:

            def answered() -> bool:
                body = {"model": "chat", "prompt": "def ", "max_tokens": 4}
                http.post("/v1/completions", json=body).raise_for_status()
                return leading.exists()

            poll.until(answered, lambda leads: not leads, what="the leader gives up", within_s=GIVEN_UP_S)
    finally:
        processes.ensure(server)
        processes.wait_ready(server)

    pool.scale(2)
    assert pool.wait_ready(2)["status"]["ring"]["epoch"] == ring["epoch"] + 1
    assert before.items() <= lives(pool).items()


def test_a_namespace_deleted_while_no_operator_runs_is_gone_once_it_is_back(
    api: kube.Api, kvring: release.Release
) -> None:
    name = "t-namespace-without-operator"
    with rooms.opened(api, name):
        pool = pools.Pool(api, "chat", name).apply(pools.SMALL)
        pool.wait_ready()
        with kvring.away():
            api.delete("Namespace", name, None)
            pool.wait(lambda found: "deletionTimestamp" in found["metadata"], "the resource is to go")
        api.wait_gone("Namespace", name, None, within_s=GONE_S)
