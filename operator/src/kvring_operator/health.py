"""Health and metrics over HTTP: who answers has an event loop that turns, and that is all there is to ask.

A replica that does not lead is as healthy as one that does, and a leader that cannot renew ends by itself.
"""

import prometheus_client
from aiohttp import web


async def serve(metrics_port: int, health_port: int) -> list[web.AppRunner]:
    """Listen on both ports. Clean the runners up at the end."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=prometheus_client.generate_latest(),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    return [
        await _listen(metrics_port, [web.get("/metrics", metrics)]),
        await _listen(health_port, [web.get("/healthz", health)]),
    ]


async def _listen(port: int, routes: list[web.RouteDef]) -> web.AppRunner:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()
    return runner
