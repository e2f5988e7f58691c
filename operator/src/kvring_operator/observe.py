"""Reads caches, the pool's Secret and its nodes' reports into a frozen World."""

import asyncio
import base64
import binascii
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from kvring_contract import names
from kvring_contract.api import Key, Metadata
from kvring_contract.ring import Ring
from kvring_contract.wire import NodeReport
from kvring_operator import children, pod, views
from kvring_operator.caches import Caches
from kvring_operator.kube import ApiError, Kube, NotFound
from kvring_operator.nodes import NoAnswer, Nodes
from kvring_operator.resources import MACHINES, PODS, SECRETS
from kvring_operator.world import Pod, World


class Observer:
    """Looks at one resource's part of the world."""

    def __init__(self, kube: Kube, nodes: Nodes, caches: Caches) -> None:
        """Caches must have synced before `look` is called."""
        self._kube = kube
        self._nodes = nodes
        self._caches = caches

    async def look(self, body: Mapping[str, Any]) -> tuple[World, bytes]:
        """The world around a resource as it is now, and the pool's key (empty without one).

        Raises `ApiError` while the operator may not see the resource's namespace.
        """
        metadata = Metadata.parse(body)
        key = metadata.key
        if not self._caches.know(key.namespace):
            raise ApiError(403, "NotListed", f"not allowed to list what is in namespace {key.namespace}")
        found = [pod for pod in self._caches.pods.of(key) if pod.slot >= 0]
        own = [pod for pod in found if pod.owner_uid == metadata.uid or _orphaned(metadata, pod)]
        kept = self._caches.children_of(key)
        ring_map = kept.get(("ConfigMap", children.ring_name(key)))
        ring = children.ring_of(ring_map) if ring_map else None
        secret = await self._secret(key)
        internal_key = _internal_key(secret) if secret and children.ours(key, secret) else b""
        own += await self._strays(metadata, own, ring)
        world = World(
            metadata=metadata,
            pods=tuple(sorted(own, key=lambda pod: (pod.slot, pod.incarnation))),
            taken=frozenset(pod.name for pod in found) - {pod.name for pod in own},
            machines=self._caches.machines,
            gone=await self._gone(own),
            children=kept,
            key_present=bool(internal_key),
            orphaned_secret_version=_version_of_orphan(key, secret),
            ring=ring,
            status=body.get("status") or {},
        )
        reports = await self._reports(world, internal_key) if internal_key else {}
        return dataclasses.replace(world, reports=reports), internal_key

    async def _secret(self, key: Key) -> Mapping[str, Any]:
        """Read each time and never watched: the operator may see no Secret that it does not name."""
        try:
            return await self._kube.get(SECRETS, key.namespace, pod.secret_name(key))
        except NotFound:
            return {}

    async def _strays(self, metadata: Metadata, own: Iterable[Pod], ring: Ring | None) -> list[Pod]:
        """Pods that the ring names and the cache lost: gone, or alive without the label that we watch by."""
        held = {pod.name for pod in own}
        missing = [member.pod for member in ring.members if member.pod not in held] if ring else []
        found = await asyncio.gather(*(self._stray(metadata, name) for name in missing))
        return [pod for pod in found if pod is not None]

    async def _stray(self, metadata: Metadata, name: str) -> Pod | None:
        try:
            stray = views.pod(await self._kube.get(PODS, metadata.key.namespace, name))
        except NotFound:
            return None
        return stray if stray.owner_uid == metadata.uid else None

    async def _gone(self, pods: Iterable[Pod]) -> frozenset[str]:
        """Machines of these pods that the API server does not have.

        That one is not in the cache proves nothing: pods and machines have watches of their own, and a new
        pod's may be the quicker one.
        """
        unknown = sorted({pod.machine for pod in pods if pod.machine} - self._caches.machines.keys())
        there = await asyncio.gather(*(self._kube.has(MACHINES, name) for name in unknown))
        return frozenset(name for name, found in zip(unknown, there, strict=True) if not found)

    async def _reports(self, world: World, internal_key: bytes) -> dict[str, NodeReport]:
        asked = [
            pod
            for pod in world.pods
            if pod.address
            and pod.container.running
            and not world.machine_gone(pod)
            and not world.machine_away(pod)
        ]
        answers = await asyncio.gather(*(self._report(pod, internal_key) for pod in asked))
        return {pod.name: answer for pod, answer in zip(asked, answers, strict=True) if answer is not None}

    async def _report(self, pod: Pod, internal_key: bytes) -> NodeReport | None:
        """None is an answer, too.

        A node that loads, hangs or is cut off is judged by what the kubelet says of it.
        """
        try:
            return await self._nodes.report(pod.address, internal_key)
        except NoAnswer:
            return None


def _orphaned(metadata: Metadata, found: Pod) -> bool:
    """Whether a pod that nobody owns was one of this resource, or of its namesake before it.

    A resource that is going takes none: it may be the one whose deletion orphaned them.
    """
    named = found.name == pod.pod_name(metadata.key, found.slot, found.incarnation)
    return not found.owner_uid and metadata.deletion_at is None and named and bool(found.template_hash)


def _internal_key(secret: Mapping[str, Any]) -> bytes:
    try:
        held = (secret.get("data") or {}).get(names.INTERNAL_KEY_FILE, "")
        return base64.b64decode(held, validate=True).strip()
    except binascii.Error:
        return b""


def _version_of_orphan(key: Key, secret: Mapping[str, Any]) -> str:
    if not secret or secret["metadata"].get("ownerReferences") or not children.ours(key, secret):
        return ""
    return str(secret["metadata"]["resourceVersion"])
