"""The list of models, the load, and metrics in two forms."""

import asyncio

import prometheus_client
from fastapi import APIRouter
from fastapi.responses import Response

from kvring_node import service
from kvring_node.web import bodies, context, describe, responses


def routes(ctx: context.Context) -> APIRouter:
    """The routes of this file."""
    router = APIRouter(tags=["operations"])
    desk = ctx.desk

    @router.get("/v1/models", summary="Which models are here?", **describe.route(gives=responses.ModelList))
    async def models() -> Response:
        served = desk.served
        return bodies.answer(responses.ModelList(data=[_card(served, ctx)] if served else []))

    @router.get(
        "/v1/models/{name:path}",
        summary="Is this model here?",
        **describe.route(gives=responses.ModelCard, errors=(404, 503)),
    )
    async def model(name: str) -> Response:
        ctx.check_model(name)
        return bodies.answer(_card(desk.model(), ctx))

    @router.get("/load", summary="How much is there to do?", **describe.route(gives=responses.Load))
    async def load() -> Response:
        return bodies.answer(responses.Load(server_load=desk.num_open))

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
                front_tasks=len(asyncio.all_tasks()),
            )
        )

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    async def metrics_text() -> Response:
        return Response(desk.metrics.render(), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return router


def _card(served: service.Served, ctx: context.Context) -> responses.ModelCard:
    return responses.ModelCard(
        id=served.name,
        created=served.created_at,
        root=ctx.settings.model,
        max_model_len=served.loaded.max_model_len,
    )
