"""Answers over time: server-sent events, and work that ends when its client goes away."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from kvring_node.web import errors

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


def event(body: msgspec.Struct) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % _encode(body)


class EventStream(StreamingResponse):
    """Sends events as they come; an error in between becomes an event too. Closes `held` whatever happens."""

    def __init__(self, events: AsyncIterator[bytes], held: contextlib.ExitStack) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # a proxy must not buffer
        super().__init__(_guarded(events), headers=headers, media_type="text/event-stream")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all, or stop at once when the client goes away (Starlette listens for it)."""
        with self._held:
            await super().__call__(scope, receive, send)


async def while_client_waits(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`; raises `ClientGone`, with `work` cancelled, when the client goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise errors.ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _guarded(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for one in events:
            yield one
    except Exception as error:
        told = errors.describe(error)
        if told.status == 500:
            _log.exception("a stream failed")
        yield event(told.body)
    yield DONE
