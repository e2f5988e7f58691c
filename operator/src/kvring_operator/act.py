"""Carries out one action.

"Already so" is success; a refusal that only people can lift is an answer, not an error.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract import names
from kvring_contract.names import RingLabel
from kvring_operator import actions, children, metrics
from kvring_operator import pod as pods
from kvring_operator.caches import Caches
from kvring_operator.events import Note, Reason
from kvring_operator.kube import AlreadyExists, ApiError, Conflict, Kube, NotFound
from kvring_operator.nodes import NoAnswer, Nodes
from kvring_operator.resources import CHILDREN, CLUSTERS, CONFIG_MAPS, PODS, SECRETS, Resource
from kvring_operator.world import Pod, Refusal, World

LAST_GRACE_S = 10
"""For a pod that has left the ring and runs nothing.

Not its own grace, which holds drain.timeout: a container that is killed in its first milliseconds does not
hear SIGTERM, and would stay for all of it.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of a plan.

    `retry` asks for another look at once: a node has done what it was told. `trouble` asks for one after a
    back-off: something was not as it had been seen, or the API server failed at something.
    """

    refusals: tuple[Refusal, ...]
    notes: tuple[Note, ...]
    retry: bool
    trouble: ApiError | None = None


class Hands:
    """Carries out plans for one resource after the other."""

    def __init__(self, kube: Kube, nodes: Nodes, caches: Caches, fencing: Callable[[], int]) -> None:
        """`fencing` tells the epoch of this leader; it raises `ApiError` when another may lead by now."""
        self._kube = kube
        self._nodes = nodes
        self._caches = caches
        self._fencing = fencing

    async def carry_out(self, world: World, plan: tuple[actions.Action, ...], internal_key: bytes) -> Outcome:
        """All actions in order; after a pod was refused, its like would be, too, and is left for later.

        So are all pods when the Secret that they mount cannot be made: somebody else's may be there.

        Raises `ApiError` when no request would get through (the rest is left undone).
        """
        refusals: list[Refusal] = []
        notes: list[Note] = []
        trouble: ApiError | None = None
        held = False
        self._fencing()  # also a plan without actions is followed by writes: status and Events
        told = [action for action in plan if isinstance(action, actions.PushRing | actions.AskDrain)]
        for action in plan:
            if isinstance(action, actions.PushRing | actions.AskDrain):
                continue  # at the end, all at once
            if held and isinstance(action, actions.CreatePod):
                continue
            try:
                await self._do(world, action)
                notes += _note(action)
            except ApiError as error:
                if isinstance(action, actions.PublishRing):
                    told = []
                if isinstance(error, Conflict) or error.fault:
                    trouble = error
                if isinstance(error, Conflict):
                    _log.info("%s: %s: %s", world.metadata.key, _name(action), error)
                    continue
                refusals.append(_refused(action, error))
                held |= isinstance(action, actions.CreatePod) and error.reason != Reason.NAME_TAKEN
                held |= isinstance(action, actions.MakeKey)
        answered = await asyncio.gather(*(self._tell(world, action, internal_key) for action in told))
        return Outcome(tuple(refusals), tuple(notes), any(answered), trouble)

    async def _do(self, world: World, action: actions.Action) -> None:
        self._fencing()
        _log.info("%s: %s: %s", world.metadata.key, _name(action), action.reason)
        doer: Callable[[World, Any], Awaitable[None]] = self._DOERS[type(action)].__get__(self)
        try:
            await doer(world, action)
        except NotFound as error:
            if isinstance(
                action, actions.CreatePod | actions.ApplyChild | actions.PublishRing | actions.MakeKey
            ):
                raise  # the namespace is gone
            _log.info("%s: %s: gone already: %s", world.metadata.key, _name(action), error)
        metrics.ACTIONS.labels(_name(action), "done").inc()

    async def _tell(
        self, world: World, action: actions.PushRing | actions.AskDrain, internal_key: bytes
    ) -> bool:
        """Speak to a node; whether it did as it was told. It is told again at the next look anyway."""
        if not internal_key:
            return False
        address, fencing = action.pod.address, self._fencing()
        _log.info("%s: %s %s: %s", world.metadata.key, _name(action), action.pod.name, action.reason)
        try:
            if isinstance(action, actions.PushRing):
                answer = await self._nodes.push(address, internal_key, fencing, action.ring)
                held = (answer.ring_epoch, answer.ring_checksum)
                obeyed = held == (action.ring.epoch, action.ring.checksum)
            else:
                answer = await self._nodes.drain(address, internal_key, fencing)
                obeyed = answer.draining
        except NoAnswer as error:
            _log.info("%s: %s", world.metadata.key, error)
            metrics.ACTIONS.labels(_name(action), "failed").inc()
            return False
        if answer.fencing > fencing:
            _log.warning(
                "%s follows a newer leader (fencing epoch %d, ours is %d). If that stays, another release "
                "watches this namespace, too: give each its own watchNamespaces. Or our Lease was restored "
                "from a backup: delete it, and the next one begins above.",
                action.pod.name,
                answer.fencing,
                fencing,
            )
        metrics.ACTIONS.labels(_name(action), "done" if obeyed else "failed").inc()
        return obeyed

    async def _add_finalizer(self, world: World, action: actions.AddFinalizer) -> None:
        await self._finalizers(world, (*world.metadata.finalizers, names.FINALIZER))

    async def _remove_finalizer(self, world: World, action: actions.RemoveFinalizer) -> None:
        await self._finalizers(
            world, tuple(name for name in world.metadata.finalizers if name != names.FINALIZER)
        )

    async def _finalizers(self, world: World, finalizers: tuple[str, ...]) -> None:
        meta = world.metadata
        change = {"metadata": {"resourceVersion": meta.resource_version, "finalizers": list(finalizers)}}
        await self._kube.patch(CLUSTERS, meta.key.namespace, meta.key.name, change)

    async def _make_key(self, world: World, action: actions.MakeKey) -> None:
        """Create first: our Secret that is there already, but holds no key, gets one by patch."""
        key, manifest = (
            world.metadata.key,
            children.secret(world.metadata.key, world.metadata.uid, secrets.token_hex(32)),
        )
        try:
            await self._kube.create(SECRETS, manifest)
        except AlreadyExists:
            await self._insist_on_ours(world, SECRETS, manifest)
            await self._kube.patch(
                SECRETS, key.namespace, manifest["metadata"]["name"], {"data": manifest["data"]}
            )

    async def _apply_child(self, world: World, action: actions.ApplyChild) -> None:
        await self._apply(world, CHILDREN[action.manifest["kind"]], action.manifest)

    async def _publish_ring(self, world: World, action: actions.PublishRing) -> None:
        manifest = children.ring_map(world.metadata.key, world.metadata.uid, action.ring)
        await self._apply(world, CONFIG_MAPS, manifest)

    async def _apply(self, world: World, resource: Resource, manifest: Mapping[str, Any]) -> None:
        await self._insist_on_ours(world, resource, manifest)
        self._caches.wrote(resource, await self._kube.apply(resource, manifest))

    async def _insist_on_ours(self, world: World, resource: Resource, manifest: Mapping[str, Any]) -> None:
        """Apply and patch would take over what somebody else has under our name; raise `ApiError` instead.

        The cache does not know all: it watches by a label, which may be missing.
        """
        key, name = world.metadata.key, manifest["metadata"]["name"]
        found = world.children.get((resource.kind, name))
        if found is None:
            try:
                found = await self._kube.get(resource, key.namespace, name)
            except NotFound:
                return
        if not children.ours(key, found):
            raise _taken(resource, name)

    async def _create_pod(self, world: World, action: actions.CreatePod) -> None:
        """A name that is taken by a pod of ours means that its labels were taken away: give them back."""
        meta = action.manifest["metadata"]
        try:
            self._caches.wrote(PODS, await self._kube.create(PODS, action.manifest))
        except AlreadyExists as error:
            found = await self._kube.get(PODS, meta["namespace"], meta["name"])
            owners = {owner["uid"] for owner in found["metadata"].get("ownerReferences") or ()}
            if world.metadata.uid not in owners:
                raise _taken(PODS, meta["name"]) from error
            labels = {
                name: value for name, value in meta["labels"].items() if name != names.LABEL_TEMPLATE_HASH
            }
            found = await self._kube.patch(
                PODS, meta["namespace"], meta["name"], {"metadata": {"labels": labels}}
            )
            self._caches.wrote(PODS, found)

    async def _relabel(self, world: World, action: actions.Relabel) -> None:
        await self._patch(
            world, action.pod, {"metadata": {"uid": action.pod.uid, "labels": dict(action.labels)}}
        )

    async def _adopt(self, world: World, action: actions.Adopt) -> None:
        resource = {kind.kind: kind for kind in (PODS, SECRETS)}[action.kind]
        key = world.metadata.key
        owners = [pods.owner_reference(key, world.metadata.uid)]
        change = {"metadata": {"resourceVersion": action.resource_version, "ownerReferences": owners}}
        self._caches.wrote(resource, await self._kube.patch(resource, key.namespace, action.name, change))

    async def _begin_drain(self, world: World, action: actions.BeginDrain) -> None:
        change = {
            "uid": action.pod.uid,
            "labels": {names.LABEL_RING: RingLabel.DRAINING},
            "annotations": {names.ANNOTATION_DRAINING_SINCE: action.since},
        }
        await self._patch(world, action.pod, {"metadata": change})

    async def _finish_drain(self, world: World, action: actions.FinishDrain) -> None:
        change = {"uid": action.pod.uid, "labels": {names.LABEL_RING: RingLabel.DRAINED}}
        await self._patch(world, action.pod, {"metadata": change})

    async def _set_gate(self, world: World, action: actions.SetGate) -> None:
        """Server-side apply of one condition: the kubelet's own conditions are not touched."""
        condition = {
            "type": names.READINESS_GATE,
            "status": "True" if action.value else "False",
            "reason": "OnRing" if action.value else "NotOnRing",
            "message": action.reason,
        }
        key = world.metadata.key
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": action.pod.name, "namespace": key.namespace, "uid": action.pod.uid},
            "status": {"conditions": [condition]},
        }
        self._caches.wrote(PODS, await self._kube.apply(PODS, manifest, "status"))

    async def _delete_pod(self, world: World, action: actions.DeletePod) -> None:
        preconditions = {"uid": action.pod.uid, "resourceVersion": action.pod.resource_version}
        grace = 0 if action.force else LAST_GRACE_S
        answer = await self._kube.delete(
            PODS, world.metadata.key.namespace, action.pod.name, preconditions, grace
        )
        if answer.get("kind") == "Pod" and not action.force:
            self._caches.wrote(PODS, answer)

    async def _patch(self, world: World, pod: Pod, change: Mapping[str, Any]) -> None:
        self._caches.wrote(PODS, await self._kube.patch(PODS, world.metadata.key.namespace, pod.name, change))

    _DOERS: Mapping[type, Any] = {
        actions.AddFinalizer: _add_finalizer,
        actions.RemoveFinalizer: _remove_finalizer,
        actions.MakeKey: _make_key,
        actions.ApplyChild: _apply_child,
        actions.PublishRing: _publish_ring,
        actions.CreatePod: _create_pod,
        actions.Relabel: _relabel,
        actions.Adopt: _adopt,
        actions.SetGate: _set_gate,
        actions.BeginDrain: _begin_drain,
        actions.FinishDrain: _finish_drain,
        actions.DeletePod: _delete_pod,
    }


def _name(action: actions.Action) -> str:
    return type(action).__name__


def _taken(resource: Resource, name: str) -> ApiError:
    return ApiError(403, Reason.NAME_TAKEN, f"{resource.kind} {name} belongs to somebody else")


def _refused(action: actions.Action, error: ApiError) -> Refusal:
    """What to tell of a refusal; raises what is none, because it has nothing to do with the action."""
    metrics.ACTIONS.labels(_name(action), "failed").inc()
    if error.general:
        raise error
    return _refusal(action, error)


def _refusal(action: actions.Action, error: ApiError) -> Refusal:
    """What a person can do about a request that the API server does not accept as it is."""
    text = error.message
    if error.fault:
        return Refusal(
            Reason.REFUSED,
            f"{_name(action)}: {text}. The API server failed at it ({error.code}); if a webhook is named, "
            "mend or remove it. It is tried again by itself.",
        )
    if "failed quota" in text:  # it counts something that the pod does not name
        return Refusal(
            Reason.QUOTA_EXCEEDED, f"{text}. Set it in spec.resources, for a sidecar in spec.template."
        )
    if "exceeded quota" in text:
        remedy = (
            ", or lower spec.replicas or spec.resources. "
            "A roll-out stays within it with spec.rollout.maxSurge: 0 and maxUnavailable: 1."
            if isinstance(action, actions.CreatePod)
            else ": beside its pods a pool has two Services, a ConfigMap, a Secret and a PodDisruptionBudget."
        )
        return Refusal(Reason.QUOTA_EXCEEDED, f"{text}. Raise the quota{remedy}")
    if "violates PodSecurity" in text:
        return Refusal(
            Reason.POD_SECURITY_REFUSED, f"{text}. Correct spec.template or the namespace's labels."
        )
    if "being terminated" in text:
        return Refusal(Reason.NAMESPACE_TERMINATING, f"{text}. Nothing is made in a namespace that is going.")
    if error.reason == Reason.NAME_TAKEN:
        return Refusal(Reason.NAME_TAKEN, f"{text}. Remove it, or give this resource another name.")
    return Refusal(
        Reason.REFUSED, f"{_name(action)}: {text}. Correct what it names; it is tried again by itself."
    )


def _note(action: actions.Action) -> list[Note]:
    match action:
        case actions.CreatePod(manifest, reason):
            return [Note(Reason.MEMBER_CREATED, f"{manifest['metadata']['name']}: {reason}")]
        case actions.BeginDrain(pod, _, reason):
            return [Note(Reason.MEMBER_LEAVING, f"{pod.name}: {reason}")]
        case actions.FinishDrain(pod, reason, timed_out=True):
            return [Note(Reason.DRAIN_TIMED_OUT, f"{pod.name}: {reason}", warning=True)]
        case actions.DeletePod(pod, _, reason):
            return [Note(Reason.MEMBER_LEFT, f"{pod.name}: {reason}")]
        case actions.PublishRing(_, reason):
            return [Note(Reason.RING_TURNED, reason)]
        case actions.ApplyChild(manifest, reason, heals=True):
            return [Note(Reason.CHILD_HEALED, f"{manifest['kind']} {manifest['metadata']['name']}: {reason}")]
        case actions.MakeKey(reason, heals=True):
            return [Note(Reason.CHILD_HEALED, reason)]
        case actions.Adopt(kind, name, _, reason):
            return [Note(Reason.CHILD_HEALED, f"{kind} {name}: {reason}")]
        case actions.Relabel(pod, _, reason):
            return [Note(Reason.LABELS_HEALED, f"{pod.name}: {reason}")]
        case _:
            return []
