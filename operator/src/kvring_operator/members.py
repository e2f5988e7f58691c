"""Who belongs to the ring, when its epoch turns, and who may be Ready. Pure.

The epoch turns only when the members change: a slot comes or goes, another pod fills it, its address or its
state changes. A slot whose pod is lost stays on the ring as OFFLINE, so that its keys are where they were
when the next pod of the slot is loaded.
"""

from collections.abc import Sequence
from dataclasses import replace

from kvring_contract import status as statuses
from kvring_contract.names import Condition, MemberState
from kvring_contract.ring import Member, Ring
from kvring_operator import slots
from kvring_operator.desire import Desired
from kvring_operator.world import Pod, World


def derive(desired: Desired, world: World, wanted: Sequence[int]) -> Ring:
    """The ring as it should be: the one that stands, or its successor with a higher epoch."""
    members = tuple(member for slot in wanted if (member := _member(desired, world, slot)) is not None)
    highest = _highest_epoch(world)
    current = Ring(highest, members, desired.virtual_nodes, desired.replication_factor)
    if world.ring == current:
        return current
    stated = world.status.get("ring", {})
    if world.ring is None and (stated.get("epoch"), stated.get("checksum")) == (highest, current.checksum):
        return current
    return replace(current, epoch=highest + 1)


def acknowledged(world: World, pod: Pod, ring: Ring) -> bool:
    """Whether the pod's node holds just this ring.

    One that is silent and Ready still holds what it held: a lost packet takes no pool's readiness away.
    """
    report = world.report_of(pod)
    if report is None:
        return pod.ready and _was_converged(world, ring)
    return (report.ring_epoch, report.ring_checksum) == (ring.epoch, ring.checksum)


def active(ring: Ring, pod: Pod) -> bool:
    """Whether the pod is the one that serves for its slot."""
    return pod.name in ring.active_pods


def pods_to_tell(world: World, ring: Ring) -> tuple[Pod, ...]:
    """Members' pods that can be reached and do not hold this ring yet."""
    return tuple(
        pod
        for pod in world.pods
        if active(ring, pod) and not pod.deleting and world.loaded(pod) and not acknowledged(world, pod, ring)
    )


def converged(world: World, ring: Ring) -> bool:
    """Whether every active member holds this ring."""
    return all(acknowledged(world, pod, ring) for pod in world.pods if active(ring, pod) and not pod.deleting)


def _was_converged(world: World, ring: Ring) -> bool:
    """Whether the last status says that every member holds just this ring."""
    stated = world.status.get("ring", {})
    told = statuses.conditions_of(world.status).get(Condition.RING_CONVERGED)
    same = (stated.get("epoch"), stated.get("checksum")) == (ring.epoch, ring.checksum)
    return same and told is not None and told.status == "True"


def _member(desired: Desired, world: World, slot: int) -> Member | None:
    """The member that stands for a slot; None until a pod of it was loaded for the first time."""
    loaded = [pod for pod in world.pods if pod.slot == slot and pod.staying and world.loaded(pod)]
    before = (
        next((member for member in world.ring.members if member.slot == slot), None) if world.ring else None
    )
    if not loaded:
        return replace(before, state=MemberState.OFFLINE) if before else None
    best = max(loaded, key=lambda pod: (not slots.unfit(desired, world, pod), pod.ready, pod.incarnation))
    machine = world.machine_of(best)
    return Member(slot, best.name, best.address, best.machine, machine.zone if machine else "")


def _highest_epoch(world: World) -> int:
    """The highest epoch that anybody ever heard of.

    An epoch is never used twice, also when the ConfigMap is lost.
    """
    told = [report.ring_epoch for report in world.reports.values()]
    stated = int(world.status.get("ring", {}).get("epoch", 0))
    return max([0, stated, *told, *([world.ring.epoch] if world.ring else [])])
