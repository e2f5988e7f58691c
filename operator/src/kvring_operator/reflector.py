"""A cache of one kind of object, kept true by list and watch.

List in chunks, watch with bookmarks, and after each watch (it ends every five minutes, or breaks, or the
server says 410) list again and take the difference: what vanished while nobody looked is told as deleted, so
that no ghost stays. Such an ordinary relist is the audit, too: a difference that the watch should have told
is counted.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from kvring_operator import metrics
from kvring_operator.clock import Clock
from kvring_operator.kube import ApiError, Gone, Kube, Object
from kvring_operator.resources import Resource

T = TypeVar("T")
CHUNK = 500
FIRST_RETRY_S = 0.5
MOST_RETRY_S = 30.0

_log = logging.getLogger(__name__)


class ObjectKey(NamedTuple):
    """Namespace and name; machines have no namespace."""

    namespace: str
    name: str


class _Entry(NamedTuple, Generic[T]):
    version: int
    view: T
    group: Hashable


class Cache(Generic[T]):
    """What the reflectors of one kind hold, by key and by group.

    `notify` gets the view before and after a change.
    """

    def __init__(
        self,
        parse: Callable[[Object], T],
        group: Callable[[T], Hashable],
        notify: Callable[[T | None, T | None], None],
    ) -> None:
        """Two equal views are no change: let `parse` leave out what nobody needs to hear of."""
        self._parse = parse
        self._group = group
        self._notify = notify
        self._entries: dict[ObjectKey, _Entry[T]] = {}
        self._groups: dict[Hashable, dict[ObjectKey, T]] = defaultdict(dict)

    def __len__(self) -> int:
        """Objects held."""
        return len(self._entries)

    def get(self, key: ObjectKey) -> T | None:
        """The view of one object."""
        entry = self._entries.get(key)
        return entry.view if entry else None

    def of(self, group: Hashable) -> tuple[T, ...]:
        """The views of one group, in no particular order."""
        return tuple(self._groups.get(group, {}).values())

    def keys(self, namespace: str) -> Iterator[ObjectKey]:
        """Keys in one namespace; empty means all."""
        return (key for key in self._entries if not namespace or key.namespace == namespace)

    def version(self, key: ObjectKey) -> int:
        """ResourceVersion that is held; -1 without one."""
        entry = self._entries.get(key)
        return entry.version if entry else -1

    def put(self, body: Object) -> None:
        """Take in a newer object; an older one than the one held is passed over."""
        key, version = key_of(body), version_of(body)
        if self.version(key) >= version:
            return
        before = self._entries.get(key)
        view = self._parse(body)
        group = self._group(view)
        if before and before.group != group:
            self._drop_from_group(key, before.group)
        self._entries[key] = _Entry(version, view, group)
        self._groups[group][key] = view
        if before is None or before.view != view:
            self._notify(before.view if before else None, view)

    def remove(self, key: ObjectKey) -> None:
        """Forget an object that is gone."""
        if entry := self._entries.pop(key, None):
            self._drop_from_group(key, entry.group)
            self._notify(entry.view, None)

    def _drop_from_group(self, key: ObjectKey, group: Hashable) -> None:
        members = self._groups[group]
        members.pop(key, None)
        if not members:
            del self._groups[group]


class Reflector(Generic[T]):
    """Keeps a cache true for one kind in one namespace (empty: all)."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        resource: Resource,
        cache: Cache[T],
        namespace: str = "",
        selector: str = "",
    ) -> None:
        """Several reflectors may fill one cache, each from a namespace of its own."""
        self._kube = kube
        self._clock = clock
        self._resource = resource
        self._cache = cache
        self._namespace = namespace
        self._selector = selector
        self.position = -1
        """resourceVersion up to which the cache is known to be true; -1 before the first list."""
        self.has_synced = asyncio.Event()
        """Set once a whole list has been taken in."""
        self.answered = asyncio.Event()
        """Set with it, or once the API server forbade the list."""

    @property
    def namespace(self) -> str:
        """Where it watches; empty means everywhere."""
        return self._namespace

    def covers(self, resource: Resource, body: Object) -> bool:
        """Whether this reflector's watch will tell of the object."""
        return resource == self._resource and self._namespace in ("", body["metadata"].get("namespace", ""))

    def wrote(self, body: Object) -> None:
        """Take in the API server's answer to our own write, unless the watch has been past it already."""
        if version_of(body) > self.position:
            self._cache.put(body)

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures, audit = 0, False
        while True:
            try:
                await self._list(audit)
                failures = 0
                await self._watch()
                audit = True
            except Gone:
                audit = False
            except ApiError as error:
                audit = False
                delay = min(FIRST_RETRY_S * 2.0**failures, MOST_RETRY_S)
                failures += 1
                if error.code == 403:
                    self.answered.set()
                _log.warning("%s: %s; listing again in %.1f s", self._resource.plural, error, delay)
                await self._clock.sleep(delay)

    async def _list(self, audit: bool) -> None:
        seen: set[ObjectKey] = set()
        token, until = "", self.position
        while True:
            page = await self._kube.list_page(self._resource, self._namespace, self._selector, CHUNK, token)
            for body in page.items:
                key = key_of(body)
                seen.add(key)
                if audit and self._cache.version(key) < version_of(body) <= until:
                    metrics.MISSED_CHANGES.labels(self._resource.plural).inc()
                self._cache.put(body)
            token = page.token
            if not token:
                break
        self.position = int(page.resource_version)
        vanished = [key for key in self._cache.keys(self._namespace) if key not in seen]
        for key in vanished:
            if self._cache.version(key) <= self.position:  # a younger one was written by us since
                self._cache.remove(key)
        self.has_synced.set()
        self.answered.set()
        metrics.CACHED_OBJECTS.labels(self._resource.plural).set(len(self._cache))

    async def _watch(self) -> None:
        async for event in self._kube.watch(
            self._resource, self._namespace, self._selector, str(self.position)
        ):
            if event.type == "DELETED":
                self._cache.remove(key_of(event.object))
            elif event.type != "BOOKMARK":
                self._cache.put(event.object)
            self.position = max(self.position, version_of(event.object))


def key_of(body: Object) -> ObjectKey:
    """Namespace and name of an object."""
    meta = body["metadata"]
    return ObjectKey(meta.get("namespace", ""), meta["name"])


def version_of(body: Object) -> int:
    """ResourceVersion as the number that it is (KEP-5504 made that a promise)."""
    return int(body["metadata"]["resourceVersion"])
