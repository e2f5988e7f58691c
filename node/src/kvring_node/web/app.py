"""All routes together, as one ASGI application."""

from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

import kvring_node
from kvring_node.service import Phase
from kvring_node.web import (
    about,
    batch,
    chat,
    completions,
    describe,
    errors,
    generate,
    health,
    internal,
    tokens,
)
from kvring_node.web.context import Context
from kvring_node.web.edge import Edge


def make(ctx: Context, place: internal.Membership) -> ASGIApp:
    """The application; /internal exists only where a key file is configured."""
    app = FastAPI(
        title="kvring node",
        version=kvring_node.__version__,
        description="OpenAI-compatible inference over a paged, shareable KV cache.",
        redirect_slashes=False,
        docs_url=None,  # the pages would load their scripts from elsewhere; /openapi.json is enough
        redoc_url=None,
    )
    for router in (
        completions.routes(ctx),
        chat.routes(ctx),
        generate.routes(ctx),
        batch.routes(ctx),
        tokens.routes(ctx),
        about.routes(ctx),
        health.routes(ctx),
    ):
        app.include_router(router)
    if ctx.settings.internal_key_file:
        app.include_router(internal.routes(ctx, place, Path(ctx.settings.internal_key_file)))
    for kind in errors.HANDLED:
        app.add_exception_handler(kind, errors.respond)
    app.openapi = lambda: describe.document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return Edge(app, ctx.desk.metrics, ctx.desk.clock, lambda: ctx.desk.phase is Phase.DRAINING)
