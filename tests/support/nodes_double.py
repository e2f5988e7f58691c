"""Every node of every pool behind one port.

All of 127.0.0.0/8 is this machine, so each pod has an address.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from aiohttp import web

from kvring_contract import names, wire


class NodesDouble:
    """Loaded, idle nodes that take every ring they are given; `reports` are by address."""

    def __init__(self) -> None:
        self.reports: dict[str, wire.NodeReport] = defaultdict(lambda: _BLANK)
        self.garbage = False
        self.endless = False
        self.refuses = False
        """Every ring, as a node does that follows a newer leader."""
        self.redirect = ""
        self.num_pushes = 0
        self.num_drains = 0
        self.port = names.NODE_PORT

    @asynccontextmanager
    async def serve(self, port: int = names.NODE_PORT) -> AsyncIterator["NodesDouble"]:
        app = web.Application()
        app.add_routes(
            [
                web.get(wire.REPORT_PATH, self._report),
                web.put(wire.RING_PATH, self._ring),
                web.post(wire.DRAIN_PATH, self._drain),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _report(self, request: web.Request) -> web.StreamResponse:
        if self.redirect and not request.host.startswith("127.0.0.1"):
            raise web.HTTPTemporaryRedirect(self.redirect)
        if self.endless:
            response = web.StreamResponse()
            await response.prepare(request)
            with suppress(ConnectionResetError):  # the caller has read enough
                while True:
                    await response.write(b" " * 65536)
        return self._answer(request)

    async def _ring(self, request: web.Request) -> web.Response:
        told = wire.PushRing.loads(await request.read())
        self.num_pushes += 1
        if self.refuses:
            return self._answer(request, status=409, fencing=told.fencing + 1)
        return self._answer(
            request, fencing=told.fencing, ring_epoch=told.ring.epoch, ring_checksum=told.ring.checksum
        )

    async def _drain(self, request: web.Request) -> web.Response:
        self.num_drains += 1
        return self._answer(request, draining=True)

    def _answer(self, request: web.Request, status: int = 200, **changes: object) -> web.Response:
        if self.garbage:
            return web.Response(text="<html>")
        address = request.host.split(":")[0]
        report = replace(self.reports[address], **changes)  # type: ignore[arg-type]  # fields of a report
        self.reports[address] = report
        return web.Response(text=report.dumps(), status=status, content_type="application/json")


_BLANK = wire.NodeReport(
    pod="",
    loaded=True,
    draining=False,
    fingerprint="f00d",
    fencing=0,
    ring_epoch=-1,
    ring_checksum="",
    num_running=0,
    num_waiting=0,
    cache_used_bytes=0,
    cache_total_bytes=64 << 20,
    prefix_queries_tokens=0,
    prefix_hits_tokens=0,
)
