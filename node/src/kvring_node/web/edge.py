"""The outermost layer: names each request, measures it, and logs it when it failed."""

import logging
import re
import uuid
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvring_node import logs
from kvring_node.metrics.registry import Metrics

_log = logging.getLogger("kvring_node.http")

LOGGED_CHARS = 256
"""Of a path: clients may send megabytes."""

HEADER = b"x-request-id"
_USABLE = re.compile(rb"[\x21-\x7e]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Edge:
    """Plain ASGI: a FastAPI middleware would cost a task and a stream for each request."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float], leaving: Callable[[], bool]
    ) -> None:
        """`leaving` says whether clients shall open their next connection elsewhere."""
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = _request_id(scope)
        logs.REQUEST_ID.set(name.decode())
        scope["state"] = {**scope.get("state", {}), "request_id": name.decode()}
        began_at, status = self._clock(), 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [(HEADER, name)] + ([(b"connection", b"close")] if self._leaving() else [])
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, receive, send_named)
        finally:
            self._note(scope, status, self._clock() - began_at)

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        route = scope.get("route")
        handler = getattr(route, "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = status or 499  # nothing was sent: the client went away
        self._metrics.http(handler, method, status, took_s)
        level = _level(status)
        if _log.isEnabledFor(level):
            _log.log(
                level,
                "%s %s -> %d",
                method,
                scope["path"][:LOGGED_CHARS],
                status,
                extra={"took_s": round(took_s, 4)},
            )


def _level(status: int) -> int:
    if status < 400 or status == 503:  # 503 is how a node that loads or drains answers every probe
        return logging.DEBUG
    return logging.ERROR if status >= 500 else logging.INFO


def _request_id(scope: Scope) -> bytes:
    for header, value in scope["headers"]:
        if header == HEADER and _USABLE.fullmatch(value):
            return bytes(value)
    return uuid.uuid4().hex.encode()
