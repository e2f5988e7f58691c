"""Which slots the pool has, which pods should fill them, and which pods should go. Pure.

Promises, for every world:

- a slot without a pod gets one at once; a slot that exists keeps its number and its place on the ring;
- too many slots: those worth least go first (not ready, unfit, youngest, highest);
- a pod that does not fit any more (template changed, machine leaves) and is not ready is replaced at once;
- one that is ready is replaced within `maxSurge` and `maxUnavailable`, the new one before the old one
  whenever a surge is allowed and finds room, slot by slot: the next surge waits until the last one's old pod
  is gone;
- a machine that is away costs nothing: its pods stay until their replacements are ready, and stay for good if
  the machine is back before;
- a pod whose tolerations brought it to a machine that leaves or is away stays there: the next one would come
  there, too, and the one after it, without end.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kvring_operator import pod as pods
from kvring_operator.desire import Desired
from kvring_operator.world import Pod, World

REPLACE_ENDED_AFTER_S = 10.0
"""A pod that the kubelet gave up (evicted, refused) is replaced at most this often: until then it is kept."""
OUT_OF_DATE = "its template is out of date"


@dataclass(frozen=True)
class Creation:
    """A pod to make in a slot."""

    slot: int
    incarnation: int
    reason: str


@dataclass(frozen=True)
class Dismissal:
    """A pod to send away through draining."""

    pod: Pod
    reason: str


@dataclass(frozen=True)
class Layout:
    """The slots that belong to the pool, and what to do about their pods.

    `waiting` says what a roll-out waits for.
    """

    wanted: tuple[int, ...]
    creations: tuple[Creation, ...]
    dismissals: tuple[Dismissal, ...]
    waiting: tuple[str, ...]


def unfit(desired: Desired, world: World, pod: Pod) -> str:
    """Why a pod should be replaced; empty when it fits."""
    if world.machine_gone(pod):
        return f"its machine {pod.machine} is gone"
    machine = world.machine_of(pod)
    if machine and not world.tolerates(pod):
        if not machine.ready:
            return f"its machine {pod.machine} is not ready"
        if machine.leaving:
            return f"its machine {pod.machine} leaves: {machine.leaving}"
    if pod.hash_version == pods.HASH_VERSION and pod.template_hash != desired.template.hash:
        return OUT_OF_DATE
    return ""


def resting(pod: Pod, now: float) -> bool:
    """Whether a pod was made, and given up, a moment ago: its slot waits before the next one is tried."""
    return pod.ended and not pod.deleting and now - pod.created_at < REPLACE_ENDED_AFTER_S


def choose(desired: Desired, world: World, now: float) -> Layout:
    """Compare the pool as it should be with the pods that there are."""
    filled: dict[int, list[Pod]] = defaultdict(list)
    for pod in world.pods:
        if pod.staying:
            filled[pod.slot].append(pod)
    wanted = _wanted(desired, world, filled)
    waits = {pod.slot for pod in world.pods if resting(pod, now)}
    creations: list[Creation] = []
    wish = "1 member is" if desired.replicas == 1 else f"{desired.replicas} members are"
    dismissals = [
        Dismissal(pod, f"{wish} wanted, and slot {slot} is worth least")
        for slot in sorted(filled.keys() - set(wanted))
        for pod in filled[slot]
    ]
    stale: list[int] = []
    cramped: list[int] = []
    for slot in wanted:
        found = filled.get(slot, [])
        fit = [pod for pod in found if not unfit(desired, world, pod)]
        if not found:
            creations += _first(world, slot) if slot not in waits else ()
        elif fit:
            keep = max(fit, key=_rank)
            dismissals += _superseded(desired, world, found, keep)
            cramped += [slot] if keep.unschedulable else ()
        else:
            stale.append(slot)
            dismissals += _hopeless(desired, world, found)
    return _roll(_Rollout(desired, world, filled, wanted, waits, creations, dismissals, []), stale, cramped)


def _wanted(desired: Desired, world: World, filled: Mapping[int, list[Pod]]) -> tuple[int, ...]:
    def worth(slot: int) -> tuple[bool, bool, float, int]:
        found = filled[slot]
        fits = any(not unfit(desired, world, pod) for pod in found)
        return any(pod.ready for pod in found), fits, -min(pod.created_at for pod in found), -slot

    kept = sorted(filled, key=worth, reverse=True)[: desired.replicas]
    remembered = [m.slot for m in world.ring.members if m.slot not in filled] if world.ring else []
    missing = desired.replicas - len(kept)
    known = sorted(remembered)[:missing]
    taken = {*kept, *known}
    fresh = [slot for slot in range(desired.replicas + len(taken)) if slot not in taken][
        : missing - len(known)
    ]
    return tuple(sorted([*kept, *known, *fresh]))


def _first(world: World, slot: int) -> list[Creation]:
    """Fill an empty slot."""
    ended = any(pod.slot == slot and pod.ended and not pod.deleting for pod in world.pods)
    before = world.ring is not None and any(member.slot == slot for member in world.ring.members)
    reason = f"slot {slot} lost its pod" if before or ended else f"slot {slot} has no pod"
    return [Creation(slot, _next_incarnation(world, slot), reason)]


def _superseded(desired: Desired, world: World, found: Iterable[Pod], keep: Pod) -> list[Dismissal]:
    dismissals = []
    for pod in found:
        waits = world.machine_away(pod) or pod.ready
        if pod is not keep and (keep.ready or not waits):
            reason = unfit(desired, world, pod) or "its slot needs one pod only"
            dismissals.append(Dismissal(pod, f"{keep.name} fills slot {pod.slot}: {reason}"))
    return dismissals


def _hopeless(desired: Desired, world: World, found: Iterable[Pod]) -> list[Dismissal]:
    """Pods of a slot that are neither ready nor fit, beside one that is ready (after a change of mind).

    They only take the place of a surge.
    """
    if not any(pod.ready for pod in found):
        return []
    return [
        Dismissal(pod, f"not ready, and {unfit(desired, world, pod)}")
        for pod in found
        if not pod.ready and not world.machine_away(pod)
    ]


def _rank(pod: Pod) -> tuple[bool, bool, int]:
    """Which of several fit pods of a slot is kept: a ready one, one that runs, the newest."""
    return pod.ready, pod.container.running, pod.incarnation


@dataclass
class _Rollout:
    """What `_roll` works with; grows `creations`, `dismissals` and `waiting`.

    Slots that are `resting` get no pod now.
    """

    desired: Desired
    world: World
    filled: Mapping[int, list[Pod]]
    wanted: tuple[int, ...]
    resting: set[int]
    creations: list[Creation]
    dismissals: list[Dismissal]
    waiting: list[str]

    def replace(self, slot: int, reason: str) -> None:
        if slot not in self.resting:
            self.creations.append(Creation(slot, _next_incarnation(self.world, slot), reason))

    def dismiss(self, slot: int, reason: str) -> None:
        self.dismissals += [Dismissal(pod, reason) for pod in self.filled[slot]]


def _roll(rollout: _Rollout, stale: list[int], cramped: list[int]) -> Layout:
    """Replace the pods of `stale` slots; those of `cramped` ones are, and their new pods find no room."""
    desired, world, filled = rollout.desired, rollout.world, rollout.filled
    alive = sum(not (pod.deleting or pod.ended) for pod in world.pods)
    surge = desired.replicas + desired.max_surge - alive - len(rollout.creations)
    ready = sum(any(pod.ready for pod in filled.get(slot, ())) for slot in rollout.wanted)
    spare = ready - (desired.replicas - desired.max_unavailable)
    for slot in cramped:
        outdated = [pod for pod in filled[slot] if pod.ready and unfit(desired, world, pod) == OUT_OF_DATE]
        if outdated and spare > 0:
            spare -= 1
            reason = "its successor finds no room beside it, and maxUnavailable allows it to go first"
            rollout.dismissals += [Dismissal(pod, reason) for pod in outdated]
    for slot in sorted(stale, key=lambda slot: (any(pod.ready for pod in filled[slot]), slot)):
        reason = unfit(desired, world, max(filled[slot], key=_rank))
        if not any(pod.ready for pod in filled[slot]):
            if not any(world.machine_away(pod) for pod in filled[slot]):
                rollout.dismiss(slot, f"not ready, and {reason}")
            rollout.replace(slot, f"slot {slot} is not ready, and {reason}")
        elif surge > 0:
            surge -= 1
            rollout.replace(slot, f"slot {slot} gets a new pod before its old one goes: {reason}")
        elif spare > 0:
            spare -= 1
            rollout.dismiss(slot, f"{reason}, and maxUnavailable allows it to go before its replacement")
        else:
            rollout.waiting.append(f"slot {slot} waits for its turn: {reason}")
    return Layout(rollout.wanted, tuple(rollout.creations), tuple(rollout.dismissals), tuple(rollout.waiting))


def _next_incarnation(world: World, slot: int) -> int:
    """One above every incarnation that is or was just now, under this name also of an earlier resource."""
    name = world.metadata.key.name
    names = [pod.name for pod in world.pods if pod.slot == slot] + list(world.taken)
    names += [member.pod for member in world.ring.members if member.slot == slot] if world.ring else []
    prefix = f"{name}-{slot}-"
    tails = (text.removeprefix(prefix) for text in names if text.startswith(prefix))
    return max((int(tail) for tail in tails if tail.isdigit()), default=0) + 1
