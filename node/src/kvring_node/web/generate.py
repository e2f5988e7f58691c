"""POST /v1/generate: the node's own plain API."""

from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node import messages, prompts
from kvring_node.generation import Generation, Piece
from kvring_node.web import answers, bodies, context, describe, requests, responses, streaming
from kvring_node.web.errors import ApiError


def routes(ctx: context.Context) -> APIRouter:
    """The routes of this file."""
    router = APIRouter(tags=["kvring"], route_class=describe.BareRoute)
    decoder = msgspec.json.Decoder(requests.GenerateRequest)

    @router.post(
        "/v1/generate",
        summary="Continue a text or token ids",
        **describe.route(
            takes=requests.GenerateRequest,
            gives=responses.GenerateResponse,
            streams=True,
            errors=answers.GENERATION_ERRORS,
        ),
    )
    async def generate(request: Request) -> Response:
        body = await bodies.read(request, decoder, ctx.settings.max_body_bytes)
        name = context.request_id(request)
        held, (generation,) = await answers.open_all(ctx.desk, [ask(body, request)])
        if body.stream:
            return await answers.stream(request, [generation], _events(name, generation, ctx), held)
        with held:
            (piece,) = await streaming.while_client_waits(request, generation.whole())
            return bodies.answer(answer(name, generation, piece, ctx))

    return router


def ask(body: requests.GenerateRequest, request: Request) -> prompts.Ask:
    """The request as the desk takes it; raises `ApiError` 400 for no prompt or two."""
    return prompts.Ask(
        request_id=f"gen-{context.fresh_id()}",
        prompt=_prompt(body),
        params=messages.SamplingParams(
            temperature=answers.or_default(body.temperature, 1.0), top_p=answers.or_default(body.top_p, 1.0)
        ),
        unsaid=answers.unsaid(body),
        max_tokens=16 if body.max_tokens is None else body.max_tokens,
        priority=body.priority or 0,
        tenant=context.tenant(request),
        origin=context.origin(request),
    )


def answer(
    request_id: str, generation: Generation, piece: Piece, ctx: context.Context
) -> responses.GenerateResponse:
    """Counts and times are of the whole answer so far; text and token ids are what is handed over now."""
    progress = generation.progress
    took_s = ctx.desk.clock() - progress.submitted_at
    num_tokens = len(progress.token_ids)
    return responses.GenerateResponse(
        request_id=request_id,
        prompt_tokens=len(generation.submit.prompt_token_ids),
        generated_tokens=num_tokens,
        text=piece.text,
        token_ids=piece.token_ids,
        latency_ms=round(took_s * 1000, 3),
        throughput_tokens_per_sec=round(num_tokens / took_s, 3) if took_s > 0 else 0.0,
        finish_reason=piece.finish_reason,
    )


async def _events(request_id: str, generation: Generation, ctx: context.Context) -> AsyncIterator[bytes]:
    async for piece in generation.pieces():
        yield streaming.event(answer(request_id, generation, piece, ctx))


def _prompt(body: requests.GenerateRequest) -> prompts.Prompt:
    match body.prompt, body.prompt_tokens:
        case str(text), None:
            return text
        case None, list(token_ids):
            return token_ids
        case _:
            raise ApiError(
                400,
                "give either `prompt` (text) or `prompt_tokens` (token ids)",
                param="prompt",
                code="invalid_value",
            )
