"""Health, readiness and version."""

from fastapi import APIRouter
from fastapi.responses import Response

import kvring_node
from kvring_node.service import Phase
from kvring_node.web import bodies, context, describe, responses
from kvring_node.web.errors import RETRY_AFTER_S, ApiError


def routes(ctx: context.Context) -> APIRouter:
    """The routes of this file."""
    router = APIRouter(tags=["operations"])
    desk = ctx.desk

    def health_now() -> responses.Health:
        return responses.Health(
            status=desk.phase, ready=desk.phase is Phase.SERVING, model=ctx.settings.served_name
        )

    def refuse_hung() -> None:
        if desk.is_hung:
            raise ApiError(503, "the engine does not answer; restart this node", code="engine_hung")

    probe = describe.route(gives=responses.Health, errors=(503,))

    @router.get("/health", summary="Is the process alive?", **probe)
    @router.get("/v1/health", summary="Is the process alive?", **probe)
    @router.get("/ping", summary="Is the process alive? As SageMaker asks", **probe)
    @router.post("/ping", summary="Is the process alive? As SageMaker asks", **probe)
    async def health() -> Response:
        if desk.phase is Phase.FAILED:
            raise ApiError(503, "the engine has ended; this process is about to exit", code="engine_dead")
        refuse_hung()
        return bodies.answer(health_now())

    @router.get("/ready", summary="Are new requests welcome?", **probe)
    async def ready() -> Response:
        if desk.phase is not Phase.SERVING:
            retry = {"Retry-After": str(RETRY_AFTER_S)}
            raise ApiError(503, f"this node is {desk.phase}", code=desk.phase, headers=retry)
        refuse_hung()
        return bodies.answer(health_now())

    @router.get("/version", summary="Which release is this?", **describe.route(gives=responses.Version))
    async def version() -> Response:
        return bodies.answer(responses.Version(version=kvring_node.__version__))

    return router
