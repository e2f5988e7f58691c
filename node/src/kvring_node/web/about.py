"""The list of models, and metrics in two forms."""

import prometheus_client
from fastapi import APIRouter
from fastapi.responses import Response

from kvring_node.web import bodies, context, describe, responses


def routes(ctx: context.Context) -> APIRouter:
    """The routes of this file."""
    router = APIRouter(tags=["operations"])
    desk = ctx.desk

    @router.get("/v1/models", summary="Which models are here?", **describe.route(gives=responses.ModelList))
    async def models() -> Response:
        served = desk.served
        if served is None:
            return bodies.answer(responses.ModelList(data=[]))
        card = responses.ModelCard(
            id=served.name,
            created=served.created_at,
            root=ctx.settings.model,
            max_model_len=served.loaded.max_model_len,
        )
        return bodies.answer(responses.ModelList(data=[card]))

    @router.get("/v1/metrics", summary="Metrics as JSON", **describe.route(gives=responses.NodeMetrics))
    async def metrics_json() -> Response:
        stats, served = desk.channel.stats, desk.served
        return bodies.answer(
            responses.NodeMetrics(
                requests_running=stats.num_running,
                requests_waiting=stats.num_waiting,
                pages_used=stats.num_pages_used,
                pages_total=served.loaded.num_pages if served else 0,
                page_bytes=served.loaded.page_bytes if served else 0,
                prefix_queries_tokens=stats.prefix_queries_tokens,
                prefix_hits_tokens=stats.prefix_hits_tokens,
                preemptions=stats.num_preemptions,
                engine_steps=stats.num_steps,
            )
        )

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    async def metrics_text() -> Response:
        return Response(desk.metrics.render(), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return router
