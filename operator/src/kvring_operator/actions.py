"""The closed set of what the operator does to the world. Each says why; `act.py` says how."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract.ring import Ring
from kvring_operator.world import Pod


@dataclass(frozen=True)
class AddFinalizer:
    """Keep the resource until its members have left."""

    reason: str


@dataclass(frozen=True)
class RemoveFinalizer:
    """Let the resource go."""

    reason: str


@dataclass(frozen=True)
class MakeKey:
    """Make the Secret with a new random key, or put one into a Secret that has none; `heals` a lost one."""

    reason: str
    heals: bool = False


@dataclass(frozen=True)
class ApplyChild:
    """Make a Service or PodDisruptionBudget what it should be; `heals` when it was so before."""

    manifest: Mapping[str, Any]
    reason: str
    heals: bool = False


@dataclass(frozen=True)
class PublishRing:
    """Write the ring's ConfigMap.

    Nothing after it is done if this fails: nodes never hear of an unwritten ring.
    """

    ring: Ring
    reason: str


@dataclass(frozen=True)
class CreatePod:
    """Make a pod."""

    manifest: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Relabel:
    """Give a pod back the labels that follow from its name."""

    pod: Pod
    labels: Mapping[str, str]
    reason: str


@dataclass(frozen=True)
class Adopt:
    """Make a pod, or the pool's Secret, that has no owner this resource's."""

    kind: str
    name: str
    resource_version: str
    reason: str


@dataclass(frozen=True)
class SetGate:
    """Write the readiness gate `kvring.dev/ring-member`."""

    pod: Pod
    value: bool
    reason: str


@dataclass(frozen=True)
class PushRing:
    """Tell a node which ring stands."""

    pod: Pod
    ring: Ring
    reason: str


@dataclass(frozen=True)
class BeginDrain:
    """Label a pod `draining` and note since when: from here on it leaves, whoever leads."""

    pod: Pod
    since: str
    reason: str


@dataclass(frozen=True)
class AskDrain:
    """Tell a node to take no new work."""

    pod: Pod
    reason: str


@dataclass(frozen=True)
class FinishDrain:
    """Label a pod `drained`: evictions may take it, too. `timed_out` when it still had work to do."""

    pod: Pod
    reason: str
    timed_out: bool = False


@dataclass(frozen=True)
class DeletePod:
    """Delete just this pod; `force` without waiting for a kubelet that is gone."""

    pod: Pod
    force: bool
    reason: str


Action = (
    AddFinalizer
    | RemoveFinalizer
    | MakeKey
    | ApplyChild
    | PublishRing
    | CreatePod
    | Relabel
    | Adopt
    | SetGate
    | PushRing
    | BeginDrain
    | AskDrain
    | FinishDrain
    | DeletePod
)
