"""POST /v1/chat/completions."""

from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node import prompts, service
from kvring_node.web import answers, bodies, context, describe, requests, responses, streaming


def routes(ctx: context.Context) -> APIRouter:
    """The route of this file."""
    router = APIRouter(tags=["OpenAI"])
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
        bodies.refuse_unsupported(body)
        ctx.check_model(body.model)
        answer_id = f"chatcmpl-{context.fresh_id()}"
        conversation = prompts.Conversation([_turn(one) for one in body.messages])
        ask = answers.ask(body, answer_id, conversation, body.max_completion_tokens or body.max_tokens)
        held, (generation,) = await answers.open_all(ctx.desk, [ask])
        envelope = answers.envelope(ctx, answer_id)
        if body.stream:
            events = _events(envelope, generation, answers.wants_usage(body))
            return await answers.stream(request, [generation], events, held)
        with held:
            return bodies.answer(await streaming.while_client_waits(request, _whole(envelope, generation)))

    return router


async def _whole(envelope: answers.Envelope, generation: service.Generation) -> responses.ChatCompletion:
    text, reason = await answers.collect(generation)
    message = responses.AssistantMessage(content=text)
    return responses.ChatCompletion(
        id=envelope.id,
        created=envelope.created,
        model=envelope.model,
        system_fingerprint=envelope.system_fingerprint,
        choices=[responses.ChatChoice(index=0, message=message, finish_reason=reason)],
        usage=answers.usage([generation]),
    )


async def _events(
    envelope: answers.Envelope, generation: service.Generation, with_usage: bool
) -> AsyncIterator[bytes]:
    no_usage = None if with_usage else msgspec.UNSET
    yield streaming.event(_chunk(envelope, responses.Delta(role="assistant", content=""), None, no_usage))
    async for piece in generation.pieces():
        if piece.text:
            yield streaming.event(_chunk(envelope, responses.Delta(content=piece.text), None, no_usage))
        if piece.finish_reason:
            yield streaming.event(_chunk(envelope, responses.Delta(), piece.finish_reason, no_usage))
    if with_usage:
        last = _chunk(envelope, None, None, answers.usage([generation]))
        yield streaming.event(last)


def _chunk(
    envelope: answers.Envelope,
    delta: responses.Delta | None,
    finish_reason: str | None,
    usage: responses.Usage | msgspec.UnsetType | None,
) -> responses.ChatCompletionChunk:
    choice = responses.ChunkChoice(index=0, delta=delta, finish_reason=finish_reason) if delta else None
    return responses.ChatCompletionChunk(
        id=envelope.id,
        created=envelope.created,
        model=envelope.model,
        system_fingerprint=envelope.system_fingerprint,
        choices=[choice] if choice else [],
        usage=usage,
    )


def _turn(message: requests.ChatMessage) -> dict[str, str]:
    # Templates of open models know "system"; "developer" is OpenAI's newer word for it.
    role = "system" if message.role == "developer" else message.role
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text for part in content)
    return {"role": role, "content": text}
