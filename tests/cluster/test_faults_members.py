"""What happens inside a pool when a member's process dies, or its pod goes, in the middle of requests."""

import pytest
from dev import paths
from tests.support import internal_calls, kube, login, pod_processes, poll, pools, traffic

from kvring_contract import names

pytestmark = pytest.mark.cluster

ENGINE = "kvring_node.engine.process"
UNREADY_S = 2.0
TOLD_S = 10.0
GONE_S = 30.0
"""Far below the pods' grace of 60 s."""


def is_ready(pool: pools.Pool, pod: str) -> bool:
    """What the kubelet's probe hears."""
    path = f"/api/v1/namespaces/{pool.namespace}/pods/{pod}:8000/proxy/ready"
    try:
        return pool.api.request("GET", path).is_success
    except kube.Refused:
        return False


def restarts(pod: kube.Object) -> int:
    return sum(status["restartCount"] for status in pod["status"]["containerStatuses"])


def test_a_killed_engine_is_unready_at_once_and_starts_again(shared_pool: pools.Pool) -> None:
    (name, before) = next(iter(shared_pool.staying().items()))
    shared_pool.ask_until_answered()
    with login.client(paths.kubeconfig()) as http:
        stream = shared_pool.stream(http, "class Killed:\n    def ", max_tokens=2000)
        next(stream)
        pod_processes.kill(before, ENGINE)
        poll.until(
            lambda: is_ready(shared_pool, name), lambda ready: not ready, what="not ready", within_s=UNREADY_S
        )
        with pytest.raises(pools.BrokenStream, match="engine process was killed by SIGKILL"):
            list(stream)

    shared_pool.until(
        shared_pool.events,
        lambda events: any(event["reason"] == "EngineDied" for event in events),
        "an event tells that the engine died",
        TOLD_S,
    )
    shared_pool.wait(lambda found: pools.settled(found, 1), "the member serves again")
    (after,) = shared_pool.pods()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert restarts(after) == restarts(before) + 1
    shared_pool.ask_until_answered()


def test_a_member_told_to_leave_while_it_starts_goes_at_once(shared_pool: pools.Pool) -> None:
    shared_pool.scale(2)
    shared_pool.until(
        lambda: [pod["status"].get("containerStatuses", [{}])[0] for pod in shared_pool.pods()],
        lambda found: len(found) == 2 and all("running" in status.get("state", {}) for status in found),
        "the second container has started",
    )
    shared_pool.scale(1)
    shared_pool.until(shared_pool.pods, lambda pods: len(pods) == 1, "its pod is gone", GONE_S)
    shared_pool.wait_ready()


def test_streams_end_well_while_their_pod_is_replaced(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "replicas": 2, "drain": {"timeout": "120s"}}).wait_ready(2)
    pool.ask_until_answered()
    with login.client(paths.kubeconfig()) as http:
        stream = pool.stream(http, "class Moved:\n    def ", max_tokens=600)
        next(stream)
        (busy,) = [name for name in pool.staying() if internal_calls.report(pool, name).num_running]
        with traffic.flowing(pool, paths.kubeconfig()) as seen:
            pool.api.delete("Pod", busy, pool.namespace)
            assert list(stream)
            pool.wait(
                lambda found: pools.settled(found, 2) and busy not in pool.staying(), "a successor serves"
            )
            seen.flows(3)
    assert not seen.failures


def test_a_readiness_gate_turned_off_by_hand_is_on_again(shared_pool: pools.Pool) -> None:
    """Last with this pool: the kubelet may withdraw Ready for a moment, even after the gate is on again."""
    (name,) = shared_pool.staying()
    found = shared_pool.api.get("Pod", name, shared_pool.namespace)
    conditions = [
        condition | ({"status": "False"} if condition["type"] == names.READINESS_GATE else {})
        for condition in found["status"]["conditions"]
    ]
    change = {"status": {"conditions": conditions}}
    shared_pool.api.patch("Pod", name, change, shared_pool.namespace, subresource="status")
    shared_pool.wait_ready(within_s=TOLD_S)
    assert list(shared_pool.staying()) == [name]
    shared_pool.ask_until_answered()
