"""Desired x World x now -> Plan: what to do next, why, and when to look again. Pure.

A plan is one step, not a script: it holds everything that can be done at once, and the next plan is made from
what was then seen. So a crash between any two actions costs nothing but time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kvring_contract import names
from kvring_contract.names import MemberState
from kvring_contract.ring import Ring
from kvring_operator import children, leaving, members, pod, slots, views
from kvring_operator.actions import (
    Action,
    AddFinalizer,
    Adopt,
    ApplyChild,
    CreatePod,
    MakeKey,
    PublishRing,
    PushRing,
    Relabel,
    RemoveFinalizer,
    SetGate,
)
from kvring_operator.desire import Desired
from kvring_operator.world import Pod, World

POLL_S = 0.5
"""How soon to ask again a node that is loading, draining, or has not answered.

Nobody tells us when it is done.
"""
SLOW_POLL_S = 5.0
"""The same for a pod that has been loading for longer than a minute."""
PATIENCE_S = 60.0
FAREWELL_S = 60.0
"""A deleted resource is let go this long after `drain.timeout`, whatever is left of it."""
ORPHANS = "orphan"
"""The finalizer of `kubectl delete --cascade=orphan`: what the resource owns is to stay as it is."""


@dataclass(frozen=True)
class Plan:
    """Actions in order, with reasons in them; `waiting` tells what is not done yet and why.

    Look again after `wait_s`.
    """

    actions: tuple[Action, ...]
    ring: Ring
    layout: slots.Layout
    waiting: tuple[str, ...]
    wait_s: float | None


def make(desired: Desired, world: World, now: float) -> Plan:
    """The next step towards `desired`."""
    layout = slots.choose(desired, world, now)
    ring = members.derive(desired, world, layout.wanted)
    deleted = world.metadata.deletion_at is not None
    if deleted and ORPHANS in world.metadata.finalizers:
        return Plan(tuple(_let_go(world)), ring, layout, (), None)
    actions: list[Action] = []
    if not deleted:
        actions += _adopt(desired, world)
        actions += _foundations(desired, world)
        actions += _publish(world, ring)
        actions += _relabel(desired, world)
    actions += _create(desired, layout)
    actions += leaving.begin(world, layout.dismissals, now)
    actions += _gates(world, ring)
    actions += [PushRing(found, ring, _news(world, ring)) for found in members.pods_to_tell(world, ring)]
    actions += leaving.proceed(desired, world, ring, now)
    if deleted:
        actions += _farewell(desired, world, now)
    return Plan(
        tuple(actions),
        ring,
        layout,
        tuple(_waiting(desired, world, ring, layout)),
        _wait(world, ring, now),
    )


def _foundations(desired: Desired, world: World) -> Iterable[Action]:
    """What must be there before a pod is. What is missing after the first visit, somebody took away."""
    known = "ring" in world.status
    if names.FINALIZER not in world.metadata.finalizers:
        yield AddFinalizer("members are to leave in order when the resource is deleted")
    if not world.key_present:
        told = f"Secret {pod.secret_name(desired.key)} holds no key, and members mount it"
        yield MakeKey(told, heals=known)
    for manifest in desired.children:
        found = world.children.get((manifest["kind"], manifest["metadata"]["name"]))
        if found is None:
            yield ApplyChild(manifest, "it does not exist", heals=known)
        elif not children.fits(manifest, found):
            yield ApplyChild(manifest, "somebody changed it", heals=True)


def _adopt(desired: Desired, world: World) -> Iterable[Action]:
    """Else they would go on without us: serve clients in a pool of none, and outlive it."""
    reason = "nobody owns it, and it is of this pool"
    if world.orphaned_secret_version:
        yield Adopt("Secret", pod.secret_name(desired.key), world.orphaned_secret_version, reason)
    for found in world.pods:
        if not found.owner_uid:
            yield Adopt("Pod", found.name, found.resource_version, reason)


def _publish(world: World, ring: Ring) -> Iterable[Action]:
    key, uid = world.metadata.key, world.metadata.uid
    found = world.children.get(("ConfigMap", children.ring_name(key)), {})
    if not children.fits(children.ring_map(key, uid, ring), found):
        yield PublishRing(ring, _news(world, ring))


def _news(world: World, ring: Ring) -> str:
    """What is new in a ring, in words."""
    if world.ring is None or world.ring == ring:
        return f"epoch {ring.epoch} has {len(ring.members)} members"
    before = {member.slot: member for member in world.ring.members}
    after = {member.slot: member for member in ring.members}
    parts = [f"slot {slot} joins" for slot in sorted(after.keys() - before.keys())]
    parts += [f"slot {slot} leaves" for slot in sorted(before.keys() - after.keys())]
    for slot in sorted(before.keys() & after.keys()):
        old, new = before[slot], after[slot]
        if old.pod != new.pod:
            parts.append(f"slot {slot} is filled by {new.pod}")
        elif old.state != new.state:
            parts.append(f"slot {slot} is {new.state}")
        elif old != new:
            parts.append(f"slot {slot} is at {new.address}")
    return f"epoch {ring.epoch}: {', '.join(parts) or 'the ring document was changed'}"


def _relabel(desired: Desired, world: World) -> Iterable[Action]:
    """Labels that are not what the pod's name says. `ring` is only given back when it is no valid one."""
    for found in world.pods:
        right = pod.labels(desired.key, found.slot, found.incarnation)
        if found.ring in list(names.RingLabel):
            right[names.LABEL_RING] = found.ring
        held = {views.LABELS[short]: value for short, value in found.labels.items()}
        wrong = {
            name: right[name]
            for name in views.LABELS.values()
            if name in right and held.get(name) != right[name]
        }
        if wrong and not found.deleting:
            yield Relabel(found, wrong, f"labels {', '.join(sorted(wrong))} were changed")


def _create(desired: Desired, layout: slots.Layout) -> Iterable[Action]:
    for creation in layout.creations:
        manifest = pod.manifest(
            desired.key, desired.uid, desired.template, creation.slot, creation.incarnation
        )
        yield CreatePod(manifest, creation.reason)


def _gates(world: World, ring: Ring) -> Iterable[Action]:
    """True after the member holds the ring; False as soon as it does not stand on it.

    Two exceptions keep requests from finding nobody: while a new epoch spreads nothing changes, and the old
    pod of a slot serves until the new one is ready.
    """
    for found in world.pods:
        on_ring = found.staying and members.active(ring, found)
        if found.gate and not on_ring and not _bridges(world, found):
            yield SetGate(found, False, "it is not the active pod of its slot")
        elif not found.gate and on_ring and world.ring == ring and members.acknowledged(world, found, ring):
            yield SetGate(found, True, f"it holds ring epoch {ring.epoch} and its model is loaded")


def _bridges(world: World, old: Pod) -> bool:
    """Whether a pod still serves for its slot although a younger one stands on the ring already."""
    successors = [pod for pod in world.pods if pod.slot == old.slot and pod.staying and pod is not old]
    return old.staying and world.loaded(old) and bool(successors) and not any(pod.ready for pod in successors)


def _let_go(world: World) -> Iterable[Action]:
    if names.FINALIZER in world.metadata.finalizers:
        yield RemoveFinalizer("its deletion asks that members stay")


def _farewell(desired: Desired, world: World, now: float) -> Iterable[Action]:
    if names.FINALIZER not in world.metadata.finalizers or world.metadata.deletion_at is None:
        return
    since = now - world.metadata.deletion_at.timestamp()
    if all(found.deleting or found.ended for found in world.pods):
        yield RemoveFinalizer("every member has left")
    elif since > desired.drain_timeout_s + FAREWELL_S:
        yield RemoveFinalizer(f"deletion has taken {since:.0f} s; the garbage collector takes what is left")


def _waiting(desired: Desired, world: World, ring: Ring, layout: slots.Layout) -> Iterable[str]:
    yield from layout.waiting
    for found in world.pods:
        if found.leaving and not found.deleting:
            yield f"{found.name} leaves"
        elif found.staying and not found.ready:
            yield f"{found.name} is not ready"
    if not members.converged(world, ring):
        yield f"ring epoch {ring.epoch} is not acknowledged by all members"
    missing = {member.slot for member in ring.members if member.state is not MemberState.ACTIVE}
    if missing:
        yield f"slots {', '.join(map(str, sorted(missing)))} are offline"


def _wait(world: World, ring: Ring, now: float) -> float | None:
    """At least `POLL_S`, or an unchanged world would be a hot loop; a drain's end needs no more."""
    waits = [POLL_S] if members.pods_to_tell(world, ring) else []
    for found in world.pods:
        asked = found.container.running and not (found.deleting or world.machine_away(found))
        if asked and (found.leaving or not found.ready):
            waits.append(POLL_S if now - found.created_at < PATIENCE_S or found.leaving else SLOW_POLL_S)
        elif slots.resting(found, now):
            waits.append(max(POLL_S, found.created_at + slots.REPLACE_ENDED_AFTER_S - now))
    if world.metadata.deletion_at is not None:
        waits.append(SLOW_POLL_S)
    return min(waits, default=None)
