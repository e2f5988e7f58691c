"""POST /v1/generate, GET /v1/health and GET /v1/metrics: the node's own plain API."""

from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node import messages, prompts, service
from kvring_node.web import answers, bodies, context, describe, requests, responses, streaming
from kvring_node.web.errors import ApiError


def routes(ctx: context.Context) -> APIRouter:
    """The routes of this file."""
    router = APIRouter(tags=["kvring"])
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
        params = messages.SamplingParams(temperature=body.temperature, top_p=body.top_p)
        ask = prompts.Ask(
            f"gen-{context.fresh_id()}", _prompt(body), params, body.max_tokens, priority=body.priority
        )
        held, (generation,) = await answers.open_all(ctx.desk, [ask])
        if body.stream:
            return await answers.stream(request, [generation], _events(name, generation, ctx), held)
        with held:
            text, _ = await streaming.while_client_waits(request, answers.collect(generation))
            return bodies.answer(_response(name, generation, text, generation.progress.token_ids, ctx))

    return router


async def _events(
    request_id: str, generation: service.Generation, ctx: context.Context
) -> AsyncIterator[bytes]:
    async for piece in generation.pieces():
        yield streaming.event(_response(request_id, generation, piece.text, piece.token_ids, ctx))


def _response(
    request_id: str, generation: service.Generation, text: str, token_ids: list[int], ctx: context.Context
) -> responses.GenerateResponse:
    """Counts and times are of the whole answer so far; text and token ids are what is handed over now."""
    progress = generation.progress
    took_s = ctx.desk.clock() - progress.submitted_at
    num_tokens = len(progress.token_ids)
    return responses.GenerateResponse(
        request_id=request_id,
        prompt_tokens=len(generation.submit.prompt_token_ids),
        generated_tokens=num_tokens,
        text=text,
        token_ids=token_ids,
        latency_ms=round(took_s * 1000, 3),
        throughput_tokens_per_sec=round(num_tokens / took_s, 3) if took_s > 0 else 0.0,
        finish_reason=progress.finish_reason,
    )


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
