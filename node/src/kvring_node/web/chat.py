"""POST /v1/chat/completions."""

from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node.generation import Generation, Piece
from kvring_node.web import (
    answers,
    bodies,
    context,
    describe,
    logprobs,
    requests,
    responses,
    streaming,
    turns,
)
from kvring_node.web.errors import ApiError


def routes(ctx: context.Context) -> APIRouter:
    """The route of this file."""
    router = APIRouter(tags=["OpenAI"], route_class=describe.BareRoute)
    decoder = msgspec.json.Decoder(requests.ChatCompletionRequest)

    @router.post(
        "/v1/chat/completions",
        summary="Answer a conversation",
        **describe.route(
            takes=requests.ChatCompletionRequest,
            gives=responses.ChatCompletion,
            streams=True,
            errors=answers.GENERATION_ERRORS,
        ),
    )
    async def chat_completions(request: Request) -> Response:
        body = await bodies.read(request, decoder, ctx.settings.max_body_bytes)
        check(body)
        ctx.check_model(body.model)
        unique = context.fresh_id()
        ask = answers.ask(
            body,
            f"chatcmpl-{unique}",
            turns.conversation(body.messages, body),
            max_tokens=body.max_completion_tokens or body.max_tokens,
            logprobs=body.top_logprobs or 0 if body.logprobs else None,
            prompt_logprobs=body.prompt_logprobs,
            http=request,
        )
        held, (generation,) = await answers.open_all(ctx.desk, [ask])
        envelope = answers.envelope(ctx, body, "chatcmpl", unique)
        if body.stream:
            return await answers.stream(request, [generation], _events(envelope, body, generation), held)
        with held:
            whole = _whole(envelope, body, generation)
            return bodies.answer(await streaming.while_client_waits(request, whole))

    return router


async def _whole(
    envelope: answers.Envelope, body: requests.ChatCompletionRequest, generation: Generation
) -> responses.ChatCompletion:
    choices = [
        responses.ChatChoice(
            index=piece.index,
            message=responses.AssistantMessage(content=piece.text),
            logprobs=_scores(piece, generation),
            finish_reason=str(piece.finish_reason),
            stop_reason=piece.stop_reason,
        )
        for piece in await generation.whole()
    ]
    return responses.ChatCompletion(
        id=envelope.id,
        created=envelope.created,
        model=envelope.model,
        system_fingerprint=envelope.system_fingerprint,
        choices=choices,
        usage=answers.usage([generation]),
        prompt_logprobs=answers.prompt_logprobs(body, generation),
    )


async def _events(
    envelope: answers.Envelope, body: requests.ChatCompletionRequest, generation: Generation
) -> AsyncIterator[bytes]:
    def chunk(choice: responses.ChunkChoice) -> bytes:
        return streaming.event(_chunk(envelope, [choice], answers.usage_so_far(body, [generation])))

    for index in range(generation.submit.params.n):
        role = responses.Delta(role="assistant", content="")
        first = responses.ChunkChoice(index=index, delta=role, finish_reason=None)
        yield chunk(first)
    async for piece in generation.pieces():
        scores = _scores(piece, generation)
        if piece.text or (scores and scores.content):
            delta = responses.Delta(content=piece.text)
            choice = responses.ChunkChoice(
                index=piece.index, delta=delta, logprobs=scores, finish_reason=None
            )
            yield chunk(choice)
        if piece.finish_reason:
            last = responses.ChunkChoice(
                index=piece.index,
                delta=responses.Delta(),
                finish_reason=piece.finish_reason,
                stop_reason=piece.stop_reason,
            )
            yield chunk(last)
    if answers.wants_usage(body):
        yield streaming.event(_chunk(envelope, [], answers.usage([generation])))


def _chunk(
    envelope: answers.Envelope,
    choices: list[responses.ChunkChoice],
    usage: responses.Usage | msgspec.UnsetType | None,
) -> responses.ChatCompletionChunk:
    return responses.ChatCompletionChunk(
        id=envelope.id,
        created=envelope.created,
        model=envelope.model,
        system_fingerprint=envelope.system_fingerprint,
        choices=choices,
        usage=usage,
    )


def _scores(piece: Piece, generation: Generation) -> responses.ChatLogprobs | None:
    return None if piece.logprobs is None else logprobs.chat(piece.logprobs, generation.tokenizer.spell)


def check(body: requests.ChatCompletionRequest) -> None:
    """Raise `ApiError` 400 for fields that exclude each other."""
    if body.top_logprobs and not body.logprobs:
        raise ApiError(
            400, "top_logprobs are only given with `logprobs`", param="top_logprobs", code="invalid_value"
        )
    answers.check(body)
