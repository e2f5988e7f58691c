"""From the API server's JSON to views."""

from typing import Any

import pytest
from tests.support import builders

from kvring_contract import names
from kvring_operator import pod, views
from kvring_operator.world import Exit


def pod_body(**status: Any) -> dict[str, Any]:
    wanted = builders.desired()
    body = pod.manifest(wanted.key, wanted.uid, wanted.template, 3, 7)
    body["metadata"] |= {"uid": "u", "resourceVersion": "5", "creationTimestamp": "2027-01-15T08:00:00Z"}
    return {**body, "status": status}


def ended(reason: str, message: str = "", code: int = 1) -> dict[str, Any]:
    state = {"terminated": {"reason": reason, "message": message, "exitCode": code}}
    return {"name": "node", "ready": False, "restartCount": 2, "state": {"waiting": {}}, "lastState": state}


def test_identity_is_read_from_the_name_and_the_owner() -> None:
    body = pod_body()
    body["metadata"]["labels"] = {}

    found = views.pod(body)

    assert (found.slot, found.incarnation, found.owner, found.owner_uid) == (3, 7, builders.KEY, builders.UID)


@pytest.mark.parametrize("name", ["chat", "chat-1", "chat-a-1", "chat-1-b", "chat--1-²"])
def test_a_name_that_is_none_of_ours_has_no_slot(name: str) -> None:
    assert views.identity(name) == (-1, -1)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (
            ended("OOMKilled", '{"reason": "X", "message": "y"}', 137),
            Exit(137, "OOMKilled", '{"reason": "X", "message": "y"}'),
        ),
        (
            ended("Error", '{"reason": "ModelBroken", "message": "y"}'),
            Exit(1, "ModelBroken", '{"reason": "ModelBroken", "message": "y"}'),
        ),
        (ended("Error", "Traceback"), Exit(1, "Error", "Traceback")),
        (ended("Error", "[1]"), Exit(1, "Error", "[1]")),
    ],
)
def test_the_last_words_of_a_container(status: dict[str, Any], wanted: Exit) -> None:
    found = views.pod(pod_body(containerStatuses=[status])).container.last_exit

    assert found
    assert (found.code, found.reason) == (wanted.code, wanted.reason)


def test_the_message_in_the_last_word_is_shown_and_not_its_json() -> None:
    status = ended("Error", '{"reason": "ModelBroken", "message": "weights are cut off"}')

    found = views.pod(pod_body(containerStatuses=[status])).container.last_exit

    assert found
    assert found.message == "weights are cut off"


def test_the_engines_container_is_known_among_the_others() -> None:
    running = {"ready": True, "restartCount": 0, "state": {"running": {}}}
    found = views.pod(
        pod_body(
            containerStatuses=[{"name": "proxy", **running}, {"name": "node", **running}],
            initContainerStatuses=[
                {"name": "warm", "ready": False, "state": {"waiting": {"reason": "ErrImagePull"}}}
            ],
        )
    )

    assert [one.name for one in found.containers] == ["node", "proxy", "warm"]
    assert found.others[1].waiting == "ErrImagePull"


@pytest.mark.parametrize(
    ("told", "phase"), [("Running", "Running"), ("Unknown", "Unknown"), ("x", "Unknown")]
)
def test_a_phase_that_nobody_knows_is_unknown(told: str, phase: str) -> None:
    assert views.pod(pod_body(phase=told)).phase == phase


def test_the_gate_and_readiness_are_two_things() -> None:
    conditions = [{"type": names.READINESS_GATE, "status": "True"}, {"type": "Ready", "status": "False"}]

    found = views.pod(pod_body(conditions=conditions))

    assert (found.gate, found.ready) == (True, False)


@pytest.mark.parametrize(
    ("spec", "leaving"),
    [
        ({}, ""),
        ({"unschedulable": True}, "it is cordoned"),
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}, "the cluster autoscaler removes it"),
        ({"taints": [{"key": "node.kubernetes.io/not-ready"}]}, ""),
    ],
)
def test_why_a_machine_should_be_left(spec: dict[str, Any], leaving: str) -> None:
    body = {"metadata": {"name": "m1", "resourceVersion": "1"}, "spec": spec, "status": {}}

    assert views.machine(body).leaving == leaving


@pytest.mark.parametrize(
    ("toleration", "tolerant"),
    [
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}, True),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, False),
    ],
)
def test_which_tolerations_bring_a_pod_to_a_machine_in_trouble(
    toleration: dict[str, str], tolerant: bool
) -> None:
    body = pod_body()
    body["spec"] = {"tolerations": [toleration]}

    assert views.pod(body).tolerant is tolerant


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"status": "True"}, ""),
        ({"status": "False", "reason": "Unschedulable", "message": "no room"}, "no room"),
        ({"status": "False", "reason": "SchedulingGated", "message": "gates"}, "gates"),
        ({"status": "False", "reason": "SchedulerError"}, "SchedulerError"),
    ],
)
def test_why_a_pod_is_not_scheduled(condition: dict[str, str], told: str) -> None:
    found = views.pod(pod_body(conditions=[{"type": "PodScheduled", **condition}]))

    assert found.unschedulable == told


def machine_body(*taints: dict[str, Any], cordoned: bool = False, ready: str = "True") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2027-01-15T08:01:00Z"}
    return {
        "metadata": {"name": "m1", "resourceVersion": "1"},
        "spec": {"unschedulable": cordoned, "taints": list(taints)},
        "status": {"conditions": [condition]},
    }


CORDON = {"key": "node.kubernetes.io/unschedulable", "timeAdded": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize(
    ("body", "since"),
    [
        (machine_body(), None),
        (machine_body({"key": "gpu", "timeAdded": "2027-01-15T08:00:00Z"}), None),
        (machine_body(CORDON, cordoned=True), builders.NOW),
        (machine_body({"key": "karpenter.sh/disrupted"}, CORDON, cordoned=True), builders.NOW),
        (machine_body({"key": "karpenter.sh/disrupted"}), 0.0),
        (machine_body(ready="Unknown"), builders.NOW + 60),
        (machine_body(CORDON, cordoned=True, ready="False"), builders.NOW + 60),
        (machine_body(cordoned=True), None),
    ],
)
def test_since_when_something_is_wrong_with_a_machine(body: dict[str, Any], since: float | None) -> None:
    assert views.machine(body).since == since


def test_a_heartbeat_is_no_change() -> None:
    def body(version: str, beat: str) -> dict[str, Any]:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": beat}
        return {"metadata": {"name": "m1", "resourceVersion": version}, "status": {"conditions": [ready]}}

    assert views.machine(body("1", "08:00")) == views.machine(body("2", "08:05"))
