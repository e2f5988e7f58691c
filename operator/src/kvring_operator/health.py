"""Liveness, readiness and metrics over HTTP. A replica that does not lead is as healthy as one that does."""

from collections.abc import Callable

import prometheus_client
from aiohttp import web


async def serve(metrics_port: int, health_port: int, alive: Callable[[], str]) -> list[web.AppRunner]:
    """Listen on both ports; `alive` says what is wrong, or nothing. Clean the runners up at the end."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=prometheus_client.generate_latest(),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    async def health(_: web.Request) -> web.Response:
        trouble = alive()
        return web.Response(text=trouble or "ok", status=503 if trouble else 200)

    return [
        await _listen(metrics_port, [web.get("/metrics", metrics)]),
        await _listen(health_port, [web.get("/healthz", health), web.get("/readyz", health)]),
    ]


async def _listen(port: int, routes: list[web.RouteDef]) -> web.AppRunner:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()
    return runner
