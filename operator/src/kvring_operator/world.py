"""What is, as frozen values.

The pods, machines, children and node reports of one InferenceCluster at one moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kvring_contract import names
from kvring_contract.api import Key, Metadata
from kvring_contract.names import RingLabel
from kvring_contract.ring import Ring
from kvring_contract.wire import NodeReport


class Phase(StrEnum):
    """A pod's phase, as the kubelet tells it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


BARE_EXITS = ("Error", "Completed", "ContainerCannotRun", "StartError", "ContainerStatusUnknown")
"""The kubelet's own words for an end that explain nothing."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How the container ended the last time; `reason` and `message` are its last words where it left some."""

    code: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod. `waiting` is the kubelet's reason (ImagePullBackOff), empty when it runs."""

    name: str = names.CONTAINER
    running: bool = False
    ready: bool = False
    restarts: int = 0
    waiting: str = ""
    waiting_message: str = ""
    last_exit: Exit | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a member. Slot and incarnation are read from its name, which nobody can change.

    `owner_uid` is empty where it has no owner at all. `labels` are ours only. `draining_since` and
    `created_at` are seconds since the Unix epoch. `container` is the engine's; `others` are those of the
    overlay that run before or beside it. `tolerant` tells whether the scheduler may put it on a machine that
    is cordoned or away.
    """

    name: str
    uid: str
    owner: Key
    owner_uid: str
    slot: int
    incarnation: int
    labels: Mapping[str, str]
    template_hash: str
    hash_version: str
    machine: str
    address: str
    created_at: float
    draining_since: float | None = None
    deleting: bool = False
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    container: Container = Container()
    others: tuple[Container, ...] = ()
    gate: bool = False
    ready: bool = False
    unschedulable: str = ""
    tolerant: bool = False
    resource_version: str = field(default="", compare=False)

    @property
    def containers(self) -> tuple[Container, ...]:
        """All of them, the engine's first."""
        return (self.container, *self.others)

    @property
    def ring(self) -> str:
        """The label `kvring.dev/ring`."""
        return self.labels.get("ring", "")

    @property
    def ended(self) -> bool:
        """Whether the kubelet gave it up for good (evicted, refused at admission): it never runs again."""
        return self.phase in (Phase.FAILED, Phase.SUCCEEDED)

    @property
    def leaving(self) -> bool:
        """Whether it was told to leave; nobody comes back from that."""
        return self.ring in (RingLabel.DRAINING, RingLabel.DRAINED)

    @property
    def staying(self) -> bool:
        """Whether it counts as filling its slot."""
        return not (self.deleting or self.ended or self.leaving)


@dataclass(frozen=True, slots=True)
class Machine:
    """A Kubernetes node. `leaving` says why its pods should move away, empty when they may stay.

    `since` is when the last of what is wrong with it began, in seconds since the Unix epoch: 0 where
    taints do not say; None where nothing is wrong, or it is not known when.
    """

    name: str
    ready: bool
    leaving: str = ""
    out_of_service: bool = False
    zone: str = ""
    since: float | None = None
    resource_version: str = field(default="", compare=False)


@dataclass(frozen=True)
class Refusal:
    """The API server would not carry out an action: quota, Pod Security, a name that is taken."""

    reason: str
    message: str


@dataclass(frozen=True)
class World:
    """Everything that is known of one InferenceCluster. `status` is what was last written there.

    `pods` are those of this resource's uid, and those like them that nobody owns; `taken` are names of
    others' pods.
    `reports` hold an answer for each pod that was asked and answered. `machines` are those that the operator
    has heard of, `gone` those of pods that the API server said it does not have: a machine may be in neither.
    `key_present` tells whether the pool's Secret holds a key; `orphaned_secret_version` is that Secret's
    resourceVersion where it is ours and has no owner.
    """

    metadata: Metadata
    pods: tuple[Pod, ...] = ()
    taken: frozenset[str] = frozenset()
    machines: Mapping[str, Machine] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    children: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    key_present: bool = False
    orphaned_secret_version: str = ""
    ring: Ring | None = None
    reports: Mapping[str, NodeReport] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    def machine_of(self, pod: Pod) -> Machine | None:
        """Where a pod is; None while it is not scheduled, or its machine is gone or not heard of yet."""
        return self.machines.get(pod.machine)

    def machine_gone(self, pod: Pod) -> bool:
        """Whether the pod's machine is no part of the cluster any more."""
        return pod.machine in self.gone

    def machine_away(self, pod: Pod) -> bool:
        """Whether nobody hears from the pod's machine; it may come back."""
        machine = self.machine_of(pod)
        return machine is not None and not machine.ready

    def tolerates(self, pod: Pod) -> bool:
        """Whether the pod was put on its machine after that began to leave or was lost.

        Its tolerations want it so, and the scheduler would put the next one there, too. Without them it is
        there because the scheduler had not heard of the trouble yet, and the next one would not come.
        """
        machine = self.machine_of(pod)
        since = machine.since if machine else None
        return pod.tolerant and since is not None and pod.created_at > since

    def report_of(self, pod: Pod) -> NodeReport | None:
        """What the pod's node said of itself just now."""
        return self.reports.get(pod.name)

    def loaded(self, pod: Pod) -> bool:
        """Whether the pod has its model and can be reached: it may be on the ring."""
        if self.machine_gone(pod) or self.machine_away(pod) or not (pod.address and pod.container.running):
            return False
        report = self.report_of(pod)
        return pod.container.ready if report is None else report.loaded
