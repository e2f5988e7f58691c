"""What is wrong with a pool, as a table: a world, the reason that users see, and a word of the remedy."""

from typing import Any, NamedTuple

import pytest
from tests.support import builders
from tests.support.builders import NOW, crashed, loading, member, pending, world

from kvring_operator import checks
from kvring_operator.checks import Case
from kvring_operator.world import Container, Exit, Machine, Phase, Pod, Refusal, World


class Row(NamedTuple):
    sentence: str
    world: World
    reason: str
    remedy: str
    spec: dict[str, Any] = {}
    refusals: tuple[Refusal, ...] = ()


def beside(other: Container) -> Pod:
    """A pod whose engine runs, and another container does not."""
    return loading(0, others=(other,))


GPU = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
NO_GPU = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
NO_CLAIM = '0/1 nodes are available: persistentvolumeclaim "models" not found'
ROWS = [
    Row(
        "an image that cannot be pulled",
        world(loading(0, container=Container(waiting="ImagePullBackOff", waiting_message="not found"))),
        "ImageUnavailable",
        "imagePullSecrets",
    ),
    Row(
        "a container that the kernel kills",
        world(crashed(0, "OOMKilled", code=137)),
        "OutOfMemory",
        "limits.memory",
    ),
    Row(
        "a model folder that is not there: the node's own last word",
        world(crashed(0, "ModelNotFound", "/models/demo does not exist: check spec.model.uri")),
        "ModelNotFound",
        "check spec.model.uri",
    ),
    Row(
        "a container that ends without a word",
        world(crashed(0, "Error", "boom")),
        "CrashLooping",
        "logs chat-0-1",
    ),
    Row(
        "a last word that is no reason",
        world(crashed(0, "not a reason", "boom")),
        "CrashLooping",
        "logs chat-0-1",
    ),
    Row(
        "a Secret that the overlay names and nobody made",
        world(
            loading(
                0, container=Container(waiting="CreateContainerConfigError", waiting_message='secret "x"')
            )
        ),
        "ContainerCannotStart",
        "describe pod",
    ),
    Row(
        "an image of a sidecar that cannot be pulled",
        world(beside(Container("proxy", waiting="ErrImagePull", waiting_message="not found"))),
        "ImageUnavailable",
        "chat-0-1 (container proxy): ErrImagePull",
    ),
    Row(
        "a sidecar that the kernel kills",
        world(beside(Container("proxy", restarts=2, last_exit=Exit(137, "OOMKilled", "")))),
        "OutOfMemory",
        "spec.template",
    ),
    Row(
        "a container of the beginning that fails, and whose word is not the engine's",
        world(beside(Container("warm", restarts=2, last_exit=Exit(3, "ModelNotFound", "no such host")))),
        "CrashLooping",
        "logs chat-0-1 -c warm --previous",
    ),
    Row(
        "a Secret that a sidecar names and nobody made",
        world(beside(Container("proxy", waiting="CreateContainerConfigError", waiting_message='secret "x"'))),
        "ContainerCannotStart",
        'chat-0-1 (container proxy): secret "x"',
    ),
    Row(
        "no machine with a GPU",
        world(pending(0, unschedulable=NO_GPU)),
        "Unschedulable",
        "nvidia.com/gpu free",
        GPU,
    ),
    Row(
        "a claim that is not there",
        world(pending(0, unschedulable=NO_CLAIM)),
        "VolumeClaimMissing",
        "Create the claim",
    ),
    Row(
        "a successor that finds no room beside the pod that serves",
        world(member(0), pending(0, 2, unschedulable=NO_GPU)),
        "Unschedulable",
        "chat-0-1 serves until this one does. Add machines, or set spec.rollout.maxUnavailable: 1",
    ),
    Row(
        "a volume that no machine can have",
        world(
            pending(0, unschedulable="0/1 nodes are available: 1 node(s) had volume node affinity conflict.")
        ),
        "Unschedulable",
        "conflict. See what its volumes lack: kubectl describe pvc -n default",
    ),
    Row(
        "a volume here, and no room there",
        world(pending(0, unschedulable="1 Insufficient cpu, 1 node(s) had volume node affinity conflict.")),
        "Unschedulable",
        "Add machines",
    ),
    Row(
        "a queue that has not let the pod go yet",
        world(pending(0, unschedulable="Scheduling is blocked due to non-empty scheduling gates")),
        "Unschedulable",
        "such as a queue, has to lift them",
    ),
    Row(
        "a pod that a machine put out",
        world(pending(0, phase=Phase.FAILED, reason="Evicted", message="DiskPressure")),
        "Evicted",
        "given up by its machine: Evicted DiskPressure. Another one is made",
    ),
    Row(
        "a quota that is used up",
        world(),
        "QuotaExceeded",
        "Raise the quota",
        refusals=(Refusal("QuotaExceeded", "exceeded quota. Raise the quota"),),
    ),
    Row(
        "a drain that may not end",
        world(member(0, ring="draining", draining_since=NOW - 999)),
        "DrainBlocked",
        "onTimeout: Delete",
        {"drain": {"onTimeout": "Block"}},
    ),
    Row(
        "a machine that is away",
        world(member(0), machines=builders.machines(Machine("m1", ready=False))),
        "MachineAway",
        "delete its Node object",
    ),
    Row(
        "the refusal of the API server explains more than the scheduler",
        world(pending(0, unschedulable=NO_GPU)),
        "PodSecurityRefused",
        "namespace",
        refusals=(Refusal("PodSecurityRefused", "Correct the namespace's labels"),),
    ),
]


def case(row_world: World, spec: dict[str, Any], refusals: tuple[Refusal, ...] = ()) -> Case:
    return Case(builders.cluster(**spec).spec, builders.desired(**spec), row_world, NOW, refusals)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
def test_violations(row: Row) -> None:
    found = checks.first_violation(case(row.world, row.spec, row.refusals))

    assert found
    assert found.reason == row.reason
    assert row.remedy in found.message


@pytest.mark.parametrize(
    ("sentence", "fine"),
    [
        ("a ready pool", world(member(0), member(1))),
        ("a pool that is loading", world(loading(0))),
        (
            "a container of the beginning that is done",
            world(beside(Container("warm", ready=True, last_exit=Exit(0, "Completed", "")))),
        ),
        (
            "a container that has recovered",
            world(member(0, container=Container(running=True, ready=True, restarts=2))),
        ),
    ],
)
def test_nothing_is_wrong_with(sentence: str, fine: World) -> None:
    assert checks.first_violation(case(fine, {})) is None
