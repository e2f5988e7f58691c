"""The steps by which a pod leaves. Pure.

Each is derived from what is seen, so that any leader goes on where the last one stopped.

Label `draining` -> out of the ring -> told to drain -> nothing runs any more and the others know -> label
`drained` -> delete.
"""

from collections.abc import Iterable

from kvring_contract.names import RingLabel
from kvring_contract.ring import Ring
from kvring_contract.spec import OnTimeout
from kvring_operator import members, moments, slots
from kvring_operator.actions import Action, AskDrain, BeginDrain, DeletePod, FinishDrain
from kvring_operator.desire import Desired
from kvring_operator.slots import Dismissal
from kvring_operator.world import Pod, World


def begin(world: World, dismissals: Iterable[Dismissal], now: float) -> list[Action]:
    """The first step of each pod that is sent away; a lost one is past all steps but the last."""
    return [
        BeginDrain(dismissal.pod, moments.render(now), dismissal.reason)
        for dismissal in dismissals
        if not _lost(world, dismissal.pod)
    ]


def proceed(desired: Desired, world: World, ring: Ring, now: float) -> list[Action]:
    """The next step of every pod that is leaving, ended, or on a machine that is gone."""
    told = members.converged(world, ring)
    steps = (_next(desired, world, pod, now, told=told) for pod in world.pods)
    return [step for step in steps if step is not None]


def blocked(desired: Desired, world: World, pod: Pod, now: float) -> bool:
    """Whether the pod's time is over and `onTimeout: Block` keeps it."""
    draining = pod.ring == RingLabel.DRAINING and not pod.deleting
    return draining and desired.on_drain_timeout is OnTimeout.BLOCK and _late(desired, pod, now)


def _next(desired: Desired, world: World, pod: Pod, now: float, *, told: bool) -> Action | None:
    """`told`: every member knows the ring as it should be."""
    if _lost(world, pod):
        return DeletePod(pod, force=True, reason=f"its machine {pod.machine} is gone and will not end it")
    if pod.deleting:
        return None
    if slots.resting(pod, now):
        return None  # what is left of it keeps its slot from being filled in a tight loop
    if pod.ended:
        return DeletePod(
            pod, force=False, reason=f"the kubelet gave it up: {pod.reason} {pod.message}".rstrip()
        )
    if pod.ring == RingLabel.DRAINED:
        return DeletePod(pod, force=False, reason="it has left the ring and runs nothing")
    if pod.ring != RingLabel.DRAINING:
        return None
    return _drain(desired, world, pod, now, told=told)


def _drain(desired: Desired, world: World, pod: Pod, now: float, *, told: bool) -> Action | None:
    report = world.report_of(pod)
    if not pod.container.running or world.machine_away(pod):
        return FinishDrain(pod, "no container of it runs that could be waited for")
    if report is not None and not report.draining:
        return AskDrain(pod, "it leaves")
    idle = report is not None and report.num_running == report.num_waiting == 0
    if idle and told:
        return FinishDrain(pod, "it runs nothing, and every member knows the ring without it")
    if report is None and not world.key_present and world.metadata.deletion_at is not None:
        return FinishDrain(
            pod, "the pool's key is gone with the pool; the node finishes its requests when it ends"
        )
    if _late(desired, pod, now) and desired.on_drain_timeout is OnTimeout.DELETE:
        left = "an unknown number of" if report is None else str(report.num_running + report.num_waiting)
        return FinishDrain(pod, f"drain.timeout is over with {left} requests left", timed_out=True)
    return None


def _lost(world: World, pod: Pod) -> bool:
    """Whether no kubelet will ever end this pod: only then may it be forced out of the API."""
    machine = world.machine_of(pod)
    lost = machine is not None and machine.out_of_service and not world.tolerates(pod)
    return lost or world.machine_gone(pod)


def _late(desired: Desired, pod: Pod, now: float) -> bool:
    return now - (pod.draining_since or pod.created_at) >= desired.drain_timeout_s
