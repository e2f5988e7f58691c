"""POST /v1/batch: several generate requests at once, each answered or refused by itself."""

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node.generation import Generation
from kvring_node.web import (
    answers,
    bodies,
    context,
    describe,
    errors,
    generate,
    requests,
    responses,
    streaming,
)
from kvring_node.web.errors import ApiError

_FULL = (429, 503)
"""The node's own reasons to refuse: when they meet every request of a batch, they are the batch's answer."""


def routes(ctx: context.Context) -> APIRouter:
    """The route of this file."""
    router = APIRouter(tags=["kvring"], route_class=describe.BareRoute)
    decoder = msgspec.json.Decoder(requests.BatchRequest)

    @router.post(
        "/v1/batch",
        summary="Continue several texts",
        **describe.route(
            takes=requests.BatchRequest, gives=responses.BatchResponse, errors=answers.GENERATION_ERRORS
        ),
    )
    async def batch(request: Request) -> Response:
        body = await bodies.read(request, decoder, ctx.settings.max_body_bytes)
        with contextlib.ExitStack() as held:
            opened = [await _open(ctx, request, one, held) for one in body.requests]
            whole = _whole(ctx, context.request_id(request), opened)
            answered = await streaming.while_client_waits(request, whole)
        refusals = [one for one in answered if isinstance(one, ApiError) and one.status in _FULL]
        if len(refusals) == len(answered):
            raise refusals[0]
        return bodies.answer(
            responses.BatchResponse(
                responses=[one.body if isinstance(one, ApiError) else one for one in answered]
            )
        )

    return router


async def _open(
    ctx: context.Context, request: Request, item: msgspec.Raw, held: contextlib.ExitStack
) -> Generation | ApiError:
    try:
        body = await bodies.parse_in_turn(item, _item)
        if body.stream:
            raise ApiError(400, "a batch does not stream; leave it out", param="stream", code="invalid_value")
        return held.enter_context(await ctx.desk.open(generate.ask(body, request)))
    except errors.EXPECTED as error:
        return errors.describe(error)


async def _whole(
    ctx: context.Context, request_id: str, opened: Sequence[Generation | ApiError]
) -> list[responses.GenerateResponse | ApiError]:
    return await asyncio.gather(
        *(_answer(ctx, f"{request_id}-{index}", one) for index, one in enumerate(opened))
    )


async def _answer(
    ctx: context.Context, request_id: str, opened: Generation | ApiError
) -> responses.GenerateResponse | ApiError:
    if isinstance(opened, ApiError):
        return opened
    try:
        (piece,) = await opened.whole()
    except errors.EXPECTED as error:
        return errors.describe(error)
    return generate.answer(request_id, opened, piece, ctx)


_item = msgspec.json.Decoder(requests.GenerateRequest)
