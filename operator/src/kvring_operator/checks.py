"""What may be wrong with a pool: an ordered list of laws, each a pure question to the case. Pure.

The order is by how much a violation explains: the API server's refusal before what the kubelet says, that
before what the scheduler says. `Degraded` shows the first one.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kvring_contract.spec import Spec
from kvring_operator import children, leaving
from kvring_operator.desire import Desired
from kvring_operator.events import Reason
from kvring_operator.world import BARE_EXITS, Container, Exit, Pod, Refusal, World

IMAGE_TROUBLES = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
)
CAMEL_CASE = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
"""What the CRD allows as a reason."""
START_TROUBLES = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass(frozen=True)
class Case:
    """What is judged: the pool as it should be, the world, and what the API server just refused."""

    spec: Spec
    desired: Desired
    world: World
    now: float
    refusals: tuple[Refusal, ...] = ()
    staying: tuple[Pod, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "staying", tuple(sorted(_staying(self.world), key=lambda pod: pod.name)))

    @property
    def deleted(self) -> bool:
        """Whether the resource is on its way out."""
        return self.world.metadata.deletion_at is not None

    @property
    def has_service(self) -> bool:
        """Whether clients have a Service of this resource's to ask."""
        key = self.desired.key
        found = self.world.children.get(("Service", key.name))
        return found is not None and children.ours(key, found)

    @property
    def silent(self) -> frozenset[str]:
        """Pods that serve and gave no answer just now: what was last known of them still stands."""
        return frozenset(pod.name for pod in self.staying if pod.ready and self.world.report_of(pod) is None)


@dataclass(frozen=True)
class Violation:
    """A broken law, and what to do about it."""

    reason: str
    message: str


Check = Callable[[Case], Violation | None]


def api_server_refuses(case: Case) -> Violation | None:
    """A quota, Pod Security, a name that is taken: nothing goes on until somebody changes something."""
    for refusal in case.refusals:
        return Violation(refusal.reason, refusal.message)
    return None


def image_is_unavailable(case: Case) -> Violation | None:
    """The kubelet cannot pull the image."""
    for pod, one in _waiting_for(case, IMAGE_TROUBLES):
        return Violation(
            Reason.IMAGE_UNAVAILABLE,
            f"{_where(pod, one)}: {one.waiting}: {one.waiting_message.rstrip('. ')}. "
            "Check the image's name, its registry and imagePullSecrets.",
        )
    return None


def container_runs_out_of_memory(case: Case) -> Violation | None:
    """The kernel killed the container at its limit."""
    for pod, one, last in _crashed(case):
        if last.reason == "OOMKilled":
            limit = case.spec.resources.limits.get("memory", "none")
            remedy = (
                f"limit: {limit}). Raise spec.resources.limits.memory, or lower spec.cache.size.initial."
                if one is pod.container
                else "at its limit). Raise it in spec.template."
            )
            told = f"{_where(pod, one)} was killed for memory (restarts: {one.restarts}, {remedy}"
            return Violation(Reason.OUT_OF_MEMORY, told)
    return None


def model_cannot_be_loaded(case: Case) -> Violation | None:
    """The node said in its last words why it gave up: its own reason and message are shown."""
    for pod, one, last in _crashed(case):
        told = CAMEL_CASE.fullmatch(last.reason) and last.reason not in BARE_EXITS
        if one is pod.container and told:
            return Violation(last.reason, f"{pod.name}: {last.message or f'exit code {last.code}'}")
    return None


def container_crashes(case: Case) -> Violation | None:
    """It ends again and again, and left no reason."""
    for pod, one, last in _crashed(case):
        told = f": {last.message[-300:]}" if last.message else ""
        chosen = "" if one is pod.container else f" -c {one.name}"
        return Violation(
            Reason.CRASH_LOOPING,
            f"{_where(pod, one)} ended with exit code {last.code} (restarts: {one.restarts})"
            f"{told}. See: kubectl logs {pod.name}{chosen} --previous",
        )
    return None


def container_cannot_start(case: Case) -> Violation | None:
    """A Secret, a key or a command that the overlay names is missing."""
    for pod, one in _waiting_for(case, START_TROUBLES):
        return Violation(
            Reason.CONTAINER_CANNOT_START,
            f"{_where(pod, one)}: {(one.waiting_message or one.waiting).rstrip('. ')}. "
            f"See: kubectl describe pod {pod.name}",
        )
    return None


def pod_cannot_be_scheduled(case: Case) -> Violation | None:
    """The scheduler finds no machine, in its own words."""
    for pod in case.staying:
        if not pod.unschedulable:
            continue
        if "persistentvolumeclaim" in pod.unschedulable and "not found" in pod.unschedulable:
            return Violation(
                Reason.VOLUME_CLAIM_MISSING,
                f"{pod.name}: {pod.unschedulable}. "
                f"Create the claim in namespace {case.desired.key.namespace}, or correct spec.model.uri.",
            )
        told = f"{pod.name}: {pod.unschedulable.rstrip('. ')}. {_room(case, pod)}"
        return Violation(Reason.UNSCHEDULABLE, told)
    return None


def pod_was_evicted(case: Case) -> Violation | None:
    """The kubelet gave a pod up; another one takes its place."""
    for pod in case.world.pods:
        if pod.ended and not pod.deleting:
            why = " ".join(filter(None, (pod.reason, pod.message.rstrip(". "))))
            return Violation(
                Reason.EVICTED,
                f"{pod.name} was given up by {pod.machine or 'its machine'}: {why}. Another one is made; "
                "if that repeats, raise spec.resources.requests to what the members use.",
            )
    return None


def drain_is_blocked(case: Case) -> Violation | None:
    """A leaving member is not done in time, and the spec says to keep it."""
    for pod in case.world.pods:
        if leaving.blocked(case.desired, case.world, pod, case.now):
            return Violation(
                Reason.DRAIN_BLOCKED,
                f"{pod.name} still has work after drain.timeout. "
                "Wait, delete the pod, or set drain.onTimeout: Delete.",
            )
    return None


def machine_is_away(case: Case) -> Violation | None:
    """Nobody hears from a machine that holds a member."""
    for pod in case.staying:
        if case.world.machine_away(pod):
            return Violation(
                Reason.MACHINE_AWAY,
                f"{pod.name}: machine {pod.machine} is not ready (see: kubectl describe node {pod.machine}); "
                "a replacement is made elsewhere if there is room. "
                "If the machine is lost for good, delete its Node object.",
            )
    return None


CHECKS: tuple[Check, ...] = (
    api_server_refuses,  # nothing can be made
    image_is_unavailable,  # nothing can run
    container_runs_out_of_memory,  # killed by the kernel
    model_cannot_be_loaded,  # ended by itself, knows why
    container_crashes,  # ended by itself, does not know why
    container_cannot_start,  # never began
    pod_cannot_be_scheduled,  # no machine takes it
    pod_was_evicted,  # a machine put it out
    drain_is_blocked,  # cannot leave
    machine_is_away,  # cannot be reached
)


def first_violation(case: Case, checks: Iterable[Check] = CHECKS) -> Violation | None:
    """The violation that explains most; None when all laws hold."""
    return next((found for check in checks if (found := check(case)) is not None), None)


def _staying(world: World) -> Iterable[Pod]:
    return (pod for pod in world.pods if pod.staying)


def _waiting_for(case: Case, reasons: tuple[str, ...]) -> Iterable[tuple[Pod, Container]]:
    return ((pod, one) for pod in case.staying for one in pod.containers if one.waiting in reasons)


def _crashed(case: Case) -> Iterable[tuple[Pod, Container, Exit]]:
    """Containers that have ended and are not ready again; one of the beginning that is done is ready."""
    for pod in case.staying:
        for one in pod.containers:
            if one.last_exit and not one.ready:
                yield pod, one, one.last_exit


def _where(pod: Pod, one: Container) -> str:
    """A pod, and which of its containers if it is not the engine's."""
    return pod.name if one is pod.container else f"{pod.name} (container {one.name})"


def _room(case: Case, pod: Pod) -> str:
    old = next((other for other in case.staying if other.slot == pod.slot and other.ready), None)
    if old and not case.desired.max_unavailable:
        return (
            f"{old.name} serves until this one does. Add machines, or set spec.rollout.maxUnavailable: 1, "
            "and it goes first if only its template is out of date."
        )
    if "scheduling gates" in pod.unschedulable:
        return "Whoever set spec.schedulingGates of the pod, such as a queue, has to lift them."
    if "volume" in pod.unschedulable.lower() and "Insufficient" not in pod.unschedulable:
        return f"See what its volumes lack: kubectl describe pvc -n {case.desired.key.namespace}"
    limits = case.spec.resources.limits
    devices = sorted(name for name in limits if "/" in name)
    if any(name in pod.unschedulable for name in devices):
        return (
            f"No machine has {', '.join(devices)} free: add machines, lower spec.replicas, or free devices."
        )
    return "Add machines, lower spec.resources.requests, or loosen nodeSelector, affinity and tolerations."
