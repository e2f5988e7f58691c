"""A small API server over real HTTP: list in chunks, watch, create, apply, patch, replace, delete.

For tests of clients and for benches. It knows no schema; apply is a deep merge, conditions merge by type.
Faults are asked for in advance: `fail`, `drop_watches`, `forget`, `slow_s`.
"""

import asyncio
import copy
import itertools
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.support import discovery

from kvring_operator.login import Login
from kvring_operator.resources import Resource

Object = dict[str, Any]
Key = tuple[str, str]
HISTORY = 20_000


@dataclass
class Fault:
    """Answer the next matching requests with `code`."""

    method: str
    path_part: str
    code: int
    message: str
    times: int


@dataclass
class Kind:
    """Objects of one kind, and what happened to them."""

    objects: dict[Key, Object] = field(default_factory=dict)
    history: deque[tuple[int, str, Object]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    forgotten: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    texts: dict[Key, tuple[str, bytes]] = field(default_factory=dict)

    def encoded(self, key: Key) -> bytes:
        """JSON of an object, made once for each of its versions: lists of thousands are to be quick."""
        version = self.objects[key]["metadata"]["resourceVersion"]
        if self.texts.get(key, ("", b""))[0] != version:
            self.texts[key] = (version, json.dumps(self.objects[key]).encode())
        return self.texts[key][1]

    def warm(self) -> None:
        """Encode everything beforehand, as a watch cache has it."""
        for key in self.objects:
            self.encoded(key)

    def wake(self) -> None:
        """Let watches go on."""
        self.changed.set()
        self.changed = asyncio.Event()


class Refused(Exception):
    """An HTTP error with a Status body."""

    def __init__(self, code: int, reason: str, message: str = "") -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


class ApiDouble:
    """The server; `requests` are (method, path, content type) of everything that was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.queries: list[str] = []
        self.slow_s = 0.0
        self.splash = ""
        """What a proxy before the API server answers to everything, with 200."""
        self.num_watches = 0
        self._versions = itertools.count(100)
        self._version = 99
        self._kinds: dict[str, Kind] = defaultdict(Kind)
        self._faults: list[Fault] = []
        self._watch_epoch = 0
        self.address = ""

    @property
    def login(self) -> Login:
        return Login(self.address)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if method != "GET"]

    def put(self, resource: Resource, body: Object, *, told: bool = True) -> Object:
        """Store an object as if somebody had written it; a watch that lags has not `told` of it yet."""
        stored = copy.deepcopy(body)
        meta = stored["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        kind = self._kinds[resource.plural]
        meta.setdefault("uid", f"uid-{'-'.join(key)}-{self._version}")
        meta.setdefault("creationTimestamp", "2027-01-15T08:00:00Z")
        self._store(kind, key, stored, "MODIFIED" if key in kind.objects else "ADDED", told=told)
        return stored

    def take(self, resource: Resource, namespace: str, name: str) -> None:
        """Remove an object as if somebody had deleted it."""
        self._remove(self._kinds[resource.plural], (namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._kinds[resource.plural].objects.get((namespace, name))

    def all(self, resource: Resource) -> list[Object]:
        return list(self._kinds[resource.plural].objects.values())

    def fail(self, method: str, path_part: str, code: int, message: str = "injected", times: int = 1) -> None:
        self._faults.append(Fault(method, path_part, code, message, times))

    def drop_watches(self) -> None:
        """End every watch, as a restarted API server does."""
        self._watch_epoch += 1
        for kind in self._kinds.values():
            kind.wake()

    def warm(self) -> None:
        """Do beforehand what a real API server would not do in this process."""
        for kind in self._kinds.values():
            kind.warm()

    def forget(self, resource: Resource) -> None:
        """Compact the history: a watch from before now gets 410."""
        kind = self._kinds[resource.plural]
        kind.history.clear()
        kind.forgotten = self._version = next(self._versions)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["ApiDouble"]:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # asyncio's own server
        self.address = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            self.drop_watches()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.queries.append(request.query_string)
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        try:
            self._inject(request)
            if self.splash:
                return web.Response(text=self.splash, content_type="text/html")
            if (found := discovery.answer(request.path)) is not None:
                return web.json_response(found)
            plural, namespace, name, sub = _parse(request.path)
            kind = self._kinds[plural]
            if request.method == "GET" and not name:
                if request.query.get("watch"):
                    response = web.StreamResponse()
                    with suppress(ConnectionResetError):  # the client went away
                        await self._watch(request, response, kind, namespace)
                    return response
                return web.Response(
                    body=self._list(request, kind, namespace), content_type="application/json"
                )
            content = json.loads(await request.read() or b"{}")
            return web.json_response(self._one(request, kind, (namespace, name), sub, content))
        except Refused as error:
            status = {"kind": "Status", "code": error.code, "reason": error.reason, "message": str(error)}
            return web.json_response(status, status=error.code)

    def _inject(self, request: web.Request) -> None:
        for fault in self._faults:
            if fault.times and fault.method == request.method and fault.path_part in request.path_qs:
                fault.times -= 1
                raise Refused(fault.code, "Injected", fault.message)

    def _one(self, request: web.Request, kind: Kind, key: Key, sub: str, content: Object) -> Object:
        if request.method == "POST":
            return self._create(kind, (key[0], content["metadata"]["name"]), content)
        found = kind.objects.get(key)
        applying = request.content_type == "application/apply-patch+yaml"
        if found is None and request.method == "PATCH" and applying and not sub:
            if "uid" in content["metadata"]:
                raise Refused(409, "Conflict", "uid mismatch: there is no such object")
            return self._create(kind, key, content)
        if found is None:
            raise Refused(404, "NotFound", f"{key} not found")
        if request.method == "GET":
            return found
        _check(found, content)
        if request.method == "DELETE":
            return self._delete(kind, key, found)
        if request.method == "PUT":
            return self._store(kind, key, _merge({"metadata": found["metadata"]}, content), "MODIFIED")
        changed = _merge(copy.deepcopy(found), content)
        if changed == found:
            return found
        if "deletionTimestamp" in changed["metadata"] and not changed["metadata"].get("finalizers"):
            return self._remove(kind, key)
        return self._store(kind, key, changed, "MODIFIED")

    def _create(self, kind: Kind, key: Key, body: Object) -> Object:
        if key in kind.objects:
            raise Refused(409, "AlreadyExists", f"{key} exists")
        meta = {
            "creationTimestamp": "2027-01-15T08:00:00Z",
            **body["metadata"],
            "uid": f"uid-{'-'.join(key)}-{self._version}",
        }
        return self._store(kind, key, {**body, "metadata": meta}, "ADDED")

    def _delete(self, kind: Kind, key: Key, found: Object) -> Object:
        if found["metadata"].get("finalizers"):
            meta = {**found["metadata"], "deletionTimestamp": "2027-01-15T09:00:00Z"}
            return self._store(kind, key, {**found, "metadata": meta}, "MODIFIED")
        return self._remove(kind, key)

    def _store(self, kind: Kind, key: Key, body: Object, event: str, *, told: bool = True) -> Object:
        self._version = next(self._versions)
        stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        kind.objects[key] = stored
        if told:
            self._tell(kind, event, stored)
        return stored

    def _remove(self, kind: Kind, key: Key) -> Object:
        self._version = next(self._versions)
        found = kind.objects.pop(key)
        last = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self._version)}}
        self._tell(kind, "DELETED", last)
        return last

    def _tell(self, kind: Kind, event: str, body: Object) -> None:
        kind.history.append((self._version, event, body))
        kind.wake()

    def _list(self, request: web.Request, kind: Kind, namespace: str) -> bytes:
        matching = [
            key
            for key, body in kind.objects.items()
            if namespace in ("", key[0]) and _selected(request, body)
        ]
        start = int(request.query.get("continue", 0))
        limit = int(request.query.get("limit", 0)) or len(matching) or 1
        meta = {"resourceVersion": str(self._version)}
        if start + limit < len(matching):
            meta["continue"] = str(start + limit)
        items = b",".join(kind.encoded(key) for key in matching[start : start + limit])
        return b'{"kind":"List","metadata":%s,"items":[%s]}' % (json.dumps(meta).encode(), items)

    async def _watch(
        self, request: web.Request, response: web.StreamResponse, kind: Kind, namespace: str
    ) -> None:
        await response.prepare(request)
        self.num_watches += 1
        epoch, position = self._watch_epoch, int(request.query["resourceVersion"])
        if position < kind.forgotten:
            await response.write(_line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))
            return
        while epoch == self._watch_epoch:
            changed = kind.changed
            for event, body in self._since(request, kind, namespace, position):
                await response.write(_line(event, body))
            position = self._version
            bookmark = {"metadata": {"name": "", "resourceVersion": str(position)}}
            await response.write(_line("BOOKMARK", bookmark))
            await changed.wait()

    def _since(
        self, request: web.Request, kind: Kind, namespace: str, position: int
    ) -> Iterator[tuple[str, Object]]:
        for version, event, body in list(kind.history):
            inside = namespace in ("", body["metadata"].get("namespace", ""))
            if version > position and inside:
                yield (event if _selected(request, body) else "DELETED"), body


def _parse(path: str) -> tuple[str, str, str, str]:
    """Plural, namespace, name and subresource of `/api/v1/...` or `/apis/group/version/...`."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, sub = [*parts, "", ""][:3]
    return plural, namespace, name, sub


def _selected(request: web.Request, body: Object) -> bool:
    wanted = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
    if wanted not in ("", body["metadata"]["name"]):
        return False
    labels = body["metadata"].get("labels") or {}
    for term in filter(None, request.query.get("labelSelector", "").split(",")):
        name, _, value = term.partition("=")
        if name not in labels or (value and labels[name] != value):
            return False
    return True


def _check(found: Object, content: Object) -> None:
    """Preconditions: of a delete, or written into the metadata of a patch or replacement."""
    wanted = content.get("preconditions") or content.get("metadata") or {}
    for field_name in ("uid", "resourceVersion"):
        if wanted.get(field_name, found["metadata"][field_name]) != found["metadata"][field_name]:
            raise Refused(409, "Conflict", f"the {field_name} is {found['metadata'][field_name]}")


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        merged = dict(old)
        for name, value in new.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = _merge(old.get(name), value)
        return merged
    if isinstance(old, list) and isinstance(new, list):
        return _merge_lists(old, new)
    return new


def _merge_lists(old: list[Any], new: list[Any]) -> list[Any]:
    """By `type` (conditions) when there is one; any other list is replaced."""
    if not all(isinstance(item, dict) and "type" in item for item in [*old, *new]):
        return new
    merged = {item["type"]: item for item in old}
    for item in new:
        merged[item["type"]] = _merge(merged.get(item["type"]), item)
    return list(merged.values())


def _line(event: str, body: Object) -> bytes:
    return json.dumps({"type": event, "object": body}).encode() + b"\n"
