"""/internal/v1: what the operator asks of a node. Signed with the pool's key, fenced by its Lease."""

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_contract import wire
from kvring_node import membership, service
from kvring_node.web import bodies, describe
from kvring_node.web.context import Context

_ERRORS = (400, 401, 409)


class Membership:
    """This pod's place in the ring, as the operator last told it."""

    def __init__(self) -> None:
        self.held = membership.Held()


def routes(ctx: Context, place: Membership, key_file: Path) -> APIRouter:
    """The routes of this file; `key_file` is read at every call, because a Secret may be replaced."""
    router = APIRouter(tags=["internal"])

    async def signed_body(request: Request) -> bytes:
        body = await bodies.read_bytes(request, ctx.settings.max_body_bytes)
        header = request.headers.get(wire.SIGNATURE_HEADER)
        key = await asyncio.to_thread(key_file.read_bytes)
        wire.verify(key, request.method, request.url.path, body, header, ctx.wall_clock())
        return body

    def report(status: int = 200) -> Response:
        return Response(_report(ctx, place.held).dumps(), status, media_type="application/json")

    @router.put(wire.RING_PATH, summary="Hold this ring", **describe.route(errors=_ERRORS))
    async def ring(request: Request) -> Response:
        body = await signed_body(request)
        try:
            place.held = membership.take(place.held, wire.PushRing.loads(body))
        except membership.Fenced:
            return report(409)
        return report()

    @router.get(wire.REPORT_PATH, summary="How is this node?", **describe.route(errors=(401,)))
    async def report_now(request: Request) -> Response:
        await signed_body(request)
        return report()

    @router.post(
        wire.DRAIN_PATH, summary="Take no new work, finish the old", **describe.route(errors=_ERRORS)
    )
    async def drain(request: Request) -> Response:
        body = await signed_body(request)
        try:
            place.held = membership.fence(place.held, wire.Drain.loads(body).fencing)
        except membership.Fenced:
            return report(409)
        ctx.desk.drain()
        return report()

    return router


def _report(ctx: Context, held: membership.Held) -> wire.NodeReport:
    desk, served = ctx.desk, ctx.desk.served
    stats = desk.channel.stats
    page_bytes = served.loaded.page_bytes if served else 0
    return wire.NodeReport(
        pod=ctx.settings.pod,
        loaded=served is not None and desk.phase is not service.Phase.FAILED,
        draining=desk.phase is service.Phase.DRAINING,
        fingerprint=served.loaded.fingerprint if served else "",
        fencing=held.fencing,
        ring_epoch=held.epoch,
        ring_checksum=held.checksum,
        num_running=stats.num_running,
        num_waiting=stats.num_waiting,
        cache_used_bytes=(stats.num_pages_used + stats.num_pages_cached) * page_bytes,
        cache_total_bytes=served.loaded.num_pages * page_bytes if served else 0,
        prefix_queries_tokens=stats.prefix_queries_tokens,
        prefix_hits_tokens=stats.prefix_hits_tokens,
    )
