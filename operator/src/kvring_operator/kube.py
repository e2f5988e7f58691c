"""The only code that speaks to the API server.

Raw JSON over aiohttp, because typed clients cost a millisecond a pod.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

from kvring_contract import names
from kvring_operator.login import Login
from kvring_operator.resources import Resource

Object = dict[str, Any]
"""One Kubernetes object as the API server writes it."""

REQUEST_TIMEOUT_S = 30.0
WATCH_TIMEOUT_S = 300.0
WATCH_SILENCE_S = 150.0
"""A healthy watch brings a bookmark about each minute; longer silence means a dead connection."""
ACCESS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (names.GROUP, names.PLURAL, ("get", "list", "watch", "patch")),
    (names.GROUP, f"{names.PLURAL}/status", ("patch",)),
    (names.GROUP, f"{names.PLURAL}/finalizers", ("update",)),
    ("", "pods", ("get", "list", "watch", "create", "patch", "delete")),
    ("", "pods/status", ("patch",)),
    ("", "nodes", ("list", "watch")),
    ("", "services", ("get", "list", "watch", "create", "patch")),
    ("", "configmaps", ("get", "list", "watch", "create", "patch")),
    ("", "secrets", ("get", "create", "patch")),
    ("events.k8s.io", "events", ("create",)),
    ("policy", "poddisruptionbudgets", ("get", "list", "watch", "create", "patch")),
    ("coordination.k8s.io", "leases", ("get", "create", "update")),
)
"""All that the operator may do: (group, resource or resource/subresource, verbs).

The chart grants just this.
"""

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON = "application/json"


class ApiError(Exception):
    """The API server refused or failed. `code` is the HTTP status, 0 when no answer came."""

    def __init__(
        self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    @property
    def general(self) -> bool:
        """Whether any other request would fare the same: no answer, not logged in, too many requests."""
        return self.code in (0, 401, 429)

    @property
    def fault(self) -> bool:
        """Whether the server, or a webhook that it asks, failed at just this request (5xx)."""
        return self.code >= 500


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: it exists already, or it, or a quota that counts it, changed since it was read."""


class AlreadyExists(Conflict):
    """409 of a creation whose name is taken."""


class Gone(ApiError):
    """410: the resourceVersion is too old; list again."""


_KINDS: Mapping[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Gone}


@dataclass(frozen=True)
class Page:
    """One chunk of a list; `token` asks for the next one, and is empty at the end."""

    items: list[Object]
    resource_version: str
    token: str


@dataclass(frozen=True)
class WatchEvent:
    """ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    type: str
    object: Object = field(repr=False)


class Kube:
    """A connection to the API server; close it with `close`."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._session = aiohttp.ClientSession(
            # No common limit: each watch holds a connection for good, and the Lease is renewed beside them.
            connector=aiohttp.TCPConnector(ssl=login.ssl_context(), limit=0, keepalive_timeout=60),
            headers={"User-Agent": names.FIELD_MANAGER, "Accept": _JSON},
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object; raises `NotFound`."""
        return await self._call("GET", resource.path(namespace, name))

    async def has(self, resource: Resource, name: str) -> bool:
        """Whether there is an object of a kind without namespaces, for who may list that kind only."""
        query = {"fieldSelector": f"metadata.name={name}", "limit": "1"}
        return bool((await self._call("GET", resource.path(), query=query))["items"])

    async def list_page(
        self, resource: Resource, namespace: str, selector: str, limit: int, token: str
    ) -> Page:
        """A chunk of at most `limit` objects.

        An empty namespace means all, an empty token the first chunk.
        """
        query = {"limit": str(limit), "labelSelector": selector, "continue": token}
        body = await self._call("GET", resource.path(namespace), query={k: v for k, v in query.items() if v})
        meta = body["metadata"]
        return Page(body["items"], meta["resourceVersion"], meta.get("continue", ""))

    async def watch(
        self, resource: Resource, namespace: str, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes since `resource_version`, with bookmarks, until the server ends the watch.

        Raises `Gone`.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH_TIMEOUT_S)),
            "resourceVersion": resource_version,
        }
        timeout = aiohttp.ClientTimeout(total=WATCH_TIMEOUT_S + 30, sock_read=WATCH_SILENCE_S)
        query |= {"labelSelector": selector} if selector else {}
        try:
            async with self._session.get(
                self._url(resource.path(namespace)), params=query, headers=self._headers(), timeout=timeout
            ) as response:
                if response.status != 200:
                    raise _error(response.status, await response.read())
                async for line in _lines(response.content):
                    yield _event(json.loads(line))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiError(0, "Unreachable", f"watch of {resource.plural}: {error!r}") from error

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> Object:
        """Make an object; raises `Conflict` when the name is taken.

        Unknown fields, which an overlay may hold, are refused: by default they would be dropped in silence.
        """
        path = resource.path(manifest["metadata"].get("namespace", ""))
        query = {"fieldManager": names.FIELD_MANAGER, "fieldValidation": "Strict"}
        return await self._call("POST", path, manifest, query)

    async def apply(self, resource: Resource, manifest: Mapping[str, Any], subresource: str = "") -> Object:
        """Server-side apply: our fields become as written, also where another manager holds them."""
        meta = manifest["metadata"]
        path = resource.path(meta.get("namespace", ""), meta["name"], subresource)
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        return await self._call("PATCH", path, manifest, query, _APPLY)

    async def patch(
        self, resource: Resource, namespace: str, name: str, change: Mapping[str, Any], subresource: str = ""
    ) -> Object:
        """JSON merge patch. Put uid and resourceVersion into its metadata as preconditions."""
        path = resource.path(namespace, name, subresource)
        return await self._call("PATCH", path, change, {"fieldManager": names.FIELD_MANAGER}, _MERGE)

    async def replace(self, resource: Resource, manifest: Mapping[str, Any]) -> Object:
        """PUT; raises `Conflict` unless the manifest's resourceVersion is the stored one."""
        meta = manifest["metadata"]
        path = resource.path(meta["namespace"], meta["name"])
        return await self._call("PUT", path, manifest, {"fieldManager": names.FIELD_MANAGER})

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        preconditions: Mapping[str, str],
        grace_period_s: int | None = None,
    ) -> Object:
        """Delete exactly the object of `preconditions` (uid, resourceVersion).

        Raises `Conflict` for another.
        """
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": dict(preconditions)}
        options |= {} if grace_period_s is None else {"gracePeriodSeconds": grace_period_s}
        return await self._call("DELETE", resource.path(namespace, name), options)

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
    ) -> Object:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers() | ({"Content-Type": content_type} if data is not None else {})
        try:
            async with self._session.request(
                method, self._url(path), data=data, params=query, headers=headers
            ) as response:
                content = await response.read()
                if response.status >= 400:
                    raise _error(response.status, content)
                parsed: Object = json.loads(content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {error!r}") from error
        return parsed

    def _url(self, path: str) -> str:
        return f"{self._login.server}{quote(path)}"

    def _headers(self) -> dict[str, str]:
        token = self._login.token()
        return {"Authorization": f"Bearer {token}"} if token else {}


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own `readline` ends at 64 KiB, and a pod may be larger."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _event(body: Object) -> WatchEvent:
    if body["type"] == "ERROR":
        raise _status_error(body["object"].get("code", 500), body["object"])
    return WatchEvent(body["type"], body["object"])


def _error(code: int, content: bytes) -> ApiError:
    try:
        status = json.loads(content)
    except ValueError:
        status = {"message": content[:500].decode(errors="replace")}
    return _status_error(code, status if isinstance(status, dict) else {})


def _status_error(code: int, status: Mapping[str, Any]) -> ApiError:
    reason = status.get("reason") or ""
    kind = AlreadyExists if (code, reason) == (409, "AlreadyExists") else _KINDS.get(code, ApiError)
    return kind(code, reason, status.get("message") or "", status.get("details"))
