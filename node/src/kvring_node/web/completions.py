"""POST /v1/completions."""

from collections.abc import AsyncIterator, Sequence

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node import prompts, service
from kvring_node.web import answers, bodies, context, describe, requests, responses, streaming
from kvring_node.web.errors import ApiError

DEFAULT_MAX_TOKENS = 16
"""OpenAI's, for completions."""


def routes(ctx: context.Context) -> APIRouter:
    """The route of this file."""
    router = APIRouter(tags=["OpenAI"])
    decoder = msgspec.json.Decoder(requests.CompletionRequest)

    @router.post(
        "/v1/completions",
        summary="Continue a text",
        **describe.route(
            takes=requests.CompletionRequest,
            gives=responses.Completion,
            streams=True,
            errors=answers.GENERATION_ERRORS,
        ),
    )
    async def completions(request: Request) -> Response:
        body = await bodies.read(request, decoder, ctx.settings.max_body_bytes)
        bodies.refuse_unsupported(body)
        ctx.check_model(body.model)
        answer_id = f"cmpl-{context.fresh_id()}"
        max_tokens = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
        asks = [
            answers.ask(body, f"{answer_id}-{index}", prompt, max_tokens)
            for index, prompt in enumerate(_prompts(body.prompt))
        ]
        held, generations = await answers.open_all(ctx.desk, asks)
        envelope = answers.envelope(ctx, answer_id)
        if body.stream:
            events = _events(envelope, generations, answers.wants_usage(body))
            return await answers.stream(request, generations, events, held)
        with held:
            return bodies.answer(await streaming.while_client_waits(request, _whole(envelope, generations)))

    return router


async def _whole(
    envelope: answers.Envelope, generations: Sequence[service.Generation]
) -> responses.Completion:
    choices = []
    for index, generation in enumerate(generations):  # all of them run; they are read in order
        text, reason = await answers.collect(generation)
        choices.append(responses.CompletionChoice(index=index, text=text, finish_reason=reason))
    return _completion(envelope, choices, answers.usage(generations))


async def _events(
    envelope: answers.Envelope, generations: Sequence[service.Generation], with_usage: bool
) -> AsyncIterator[bytes]:
    no_usage = None if with_usage else msgspec.UNSET
    for index, generation in enumerate(generations):
        async for piece in generation.pieces():
            if piece.text or piece.finish_reason:
                choice = responses.CompletionChoice(
                    index=index, text=piece.text, finish_reason=piece.finish_reason
                )
                yield streaming.event(_completion(envelope, [choice], no_usage))
    if with_usage:
        yield streaming.event(_completion(envelope, [], answers.usage(generations)))


def _completion(
    envelope: answers.Envelope,
    choices: list[responses.CompletionChoice],
    usage: responses.Usage | msgspec.UnsetType | None,
) -> responses.Completion:
    return responses.Completion(
        id=envelope.id,
        created=envelope.created,
        model=envelope.model,
        system_fingerprint=envelope.system_fingerprint,
        choices=choices,
        usage=usage,
    )


def _prompts(prompt: str | list[str | int | list[int]]) -> list[prompts.Prompt]:
    if isinstance(prompt, str):
        return [prompt]
    texts = [one for one in prompt if isinstance(one, str)]
    ids = [one for one in prompt if isinstance(one, int)]
    lists = [one for one in prompt if isinstance(one, list)]
    for found, meant in ((texts, [*texts]), (ids, [ids]), (lists, [*lists])):
        if len(found) == len(prompt):
            return [*meant]
    raise ApiError(
        400,
        "`prompt` is text, token ids, a list of texts or a list of lists of token ids: not a mixture",
        param="prompt",
        code="invalid_value",
    )
