"""What one operator watches beside its own kind, and which resources a change is told to."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from kvring_contract import names
from kvring_contract.api import Key
from kvring_operator import views
from kvring_operator.clock import Clock
from kvring_operator.kube import Kube, Object
from kvring_operator.reflector import Cache, Reflector
from kvring_operator.resources import CHILDREN, MACHINES, PODS, Resource
from kvring_operator.world import Machine, Pod

Child = Mapping[str, Any]


class Caches:
    """Pods, machines and children, and whether they are known yet."""

    def __init__(
        self, kube: Kube, clock: Clock, namespaces: tuple[str, ...], wake: Callable[[Key], None]
    ) -> None:
        """`wake` is told the resource that a change concerns. No `namespaces` means all."""
        self._wake = wake
        self._on_machine: dict[str, dict[Key, int]] = defaultdict(dict)
        self._machines: dict[str, Machine] = {}
        self.pods: Cache[Pod] = Cache(views.pod, lambda pod: pod.owner, self._pod_changed)
        self._machine_cache: Cache[Machine] = Cache(views.machine, lambda _: None, self._machine_changed)
        self._children = {kind: Cache(views.child, _owner, self._child_changed) for kind in CHILDREN}
        scopes = namespaces or ("",)
        labelled: list[tuple[Resource, Cache[Any]]] = [
            (PODS, self.pods),
            *((CHILDREN[kind], cache) for kind, cache in self._children.items()),
        ]
        self._reflectors: list[Reflector[Any]] = [
            Reflector(kube, clock, MACHINES, self._machine_cache),
            *(
                Reflector(kube, clock, resource, cache, scope, names.LABEL_CLUSTER)
                for resource, cache in labelled
                for scope in scopes
            ),
        ]

    async def run(self) -> None:
        """Keep all caches true until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run())

    async def has_synced(self) -> None:
        """Return when every kind was listed whole, but for namespaces where that is forbidden.

        Before that, nothing may be decided: it would look like mass loss.
        """
        for reflector in self._reflectors:
            await (reflector.answered if reflector.namespace else reflector.has_synced).wait()

    def know(self, namespace: str) -> bool:
        """Whether everything that concerns a namespace was listed whole."""
        return all(
            reflector.has_synced.is_set()
            for reflector in self._reflectors
            if reflector.namespace in ("", namespace)
        )

    @property
    def machines(self) -> Mapping[str, Machine]:
        """All machines, by name."""
        return self._machines

    def children_of(self, key: Key) -> dict[tuple[str, str], Child]:
        """A resource's children by kind and name, as they are now."""
        return {
            (kind, child["metadata"]["name"]): child
            for kind, cache in self._children.items()
            for child in cache.of(key)
        }

    def wrote(self, resource: Resource, body: Object) -> None:
        """Take in an object that was just written, so that the next plan is not made from the past."""
        for reflector in self._reflectors:
            if reflector.covers(resource, body):
                reflector.wrote(body)

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        for pod, step in ((before, -1), (after, 1)):
            if pod is not None and pod.machine:
                owners = self._on_machine[pod.machine]
                owners[pod.owner] = owners.get(pod.owner, 0) + step
                if owners[pod.owner] <= 0:
                    del owners[pod.owner]
                if not owners:  # machines come and go, under new names
                    del self._on_machine[pod.machine]
        for key in {pod.owner for pod in (before, after) if pod is not None}:
            self._wake(key)

    def _machine_changed(self, before: Machine | None, after: Machine | None) -> None:
        if after is not None:
            self._machines[after.name] = after
        elif before is not None:
            del self._machines[before.name]
        machine = after or before
        for key in tuple(self._on_machine.get(machine.name, ())) if machine else ():
            self._wake(key)

    def _child_changed(self, before: Child | None, after: Child | None) -> None:
        for child in (before, after):
            if child is not None:
                self._wake(_owner(child))


def _owner(child: Child) -> Key:
    meta = child["metadata"]
    owners = [entry["name"] for entry in meta.get("ownerReferences") or () if entry["kind"] == names.KIND]
    return Key(meta["namespace"], owners[0] if owners else meta["labels"][names.LABEL_CLUSTER])
