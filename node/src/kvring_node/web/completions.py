"""POST /v1/completions."""

from collections.abc import AsyncIterator, Sequence

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node import messages, prompts
from kvring_node.generation import Generation, Piece
from kvring_node.web import answers, bodies, context, describe, logprobs, requests, responses, streaming
from kvring_node.web.errors import ApiError

DEFAULT_MAX_TOKENS = 16
"""OpenAI's, for completions."""


def routes(ctx: context.Context) -> APIRouter:
    """The route of this file."""
    router = APIRouter(tags=["OpenAI"], route_class=describe.BareRoute)
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
        check(body)
        _check_room(body, ctx.desk.max_open)
        ctx.check_model(body.model)
        unique = context.fresh_id()
        held, generations = await answers.open_all(ctx.desk, asks(body, f"cmpl-{unique}", request))
        envelope = answers.envelope(ctx, body, "cmpl", unique)
        if body.stream:
            events = _events(envelope, body, generations)
            return await answers.stream(request, generations, events, held)
        with held:
            whole = _whole(envelope, body, generations)
            return bodies.answer(await streaming.while_client_waits(request, whole))

    return router


class _Choice:
    """What the pieces of one choice have in common: where its text stands, and the prompt before it."""

    def __init__(self, body: requests.CompletionRequest, generation: Generation, index: int) -> None:
        self._body = body
        self._generation = generation
        self._index = index
        self._scores = logprobs.Completion(generation.tokenizer.spell)
        self._owes_prompt = bool(body.echo)

    def of(self, piece: Piece) -> responses.CompletionChoice | None:
        """The piece as the client gets it; None when there is nothing to tell."""
        if self._body.max_tokens == 0:  # one was computed all the same, which is none of the answer
            piece = Piece(piece.index, "", [], piece.finish_reason and messages.FinishReason.LENGTH)
        text, tokens = self._prompt() if self._owes_prompt else ("", [])
        self._owes_prompt = False
        text += piece.text
        tokens += [(one.token_id, one) for one in piece.logprobs or ()]
        token_ids = piece.token_ids if self._body.return_token_ids else msgspec.UNSET
        if not (text or tokens or token_ids or piece.finish_reason):
            return None
        return responses.CompletionChoice(
            index=self._index,
            text=text,
            token_ids=token_ids,
            logprobs=None if self._body.logprobs is None else self._scores.of(tokens),
            finish_reason=piece.finish_reason,
            stop_reason=piece.stop_reason,
        )

    def _prompt(self) -> tuple[str, list[tuple[int, messages.TokenLogprobs | None]]]:
        generation = self._generation
        first, *_ = token_ids = generation.submit.prompt_token_ids
        prompt = generation.ask.prompt
        text = prompt if isinstance(prompt, str) else generation.tokenizer.decode(token_ids)
        return text, [(first, None), *((one.token_id, one) for one in generation.progress.prompt_logprobs)]


async def _whole(
    envelope: answers.Envelope, body: requests.CompletionRequest, generations: Sequence[Generation]
) -> responses.Completion:
    choices: list[responses.CompletionChoice] = []
    for generation in generations:  # all of them run; they are read in order
        for piece in await generation.whole():
            choice = _Choice(body, generation, len(choices)).of(piece)
            assert choice, "a whole answer has a finish reason"
            choice.prompt_logprobs = answers.prompt_logprobs(body, generation)
            choices.append(choice)
    return _completion(envelope, choices, answers.usage(generations, with_answers=body.max_tokens != 0))


async def _events(
    envelope: answers.Envelope, body: requests.CompletionRequest, generations: Sequence[Generation]
) -> AsyncIterator[bytes]:
    with_answers = body.max_tokens != 0
    begun: dict[int, _Choice] = {}
    async for generation, index, piece in answers.pieces(generations):
        if index not in begun:
            begun[index] = _Choice(body, generation, index)
        choice = begun[index].of(piece)
        if choice:
            so_far = answers.usage_so_far(body, generations, with_answers=with_answers)
            yield streaming.event(_completion(envelope, [choice], so_far))
    if answers.wants_usage(body):
        usage = answers.usage(generations, with_answers=with_answers)
        yield streaming.event(_completion(envelope, [], usage))


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


def check(body: requests.CompletionRequest) -> None:
    """Raise `ApiError` 400 for fields that exclude each other."""
    if body.max_tokens == 0 and not body.echo:
        raise ApiError(400, "max_tokens can be 0 only with `echo`", param="max_tokens", code="invalid_value")
    answers.check(body)


def _check_room(body: requests.CompletionRequest, room: int) -> None:
    """Before anything is made of a prompt: a million of them would hold up everybody's streams."""
    num_prompts = len(_prompts(body.prompt))
    if (num_prompts - 1) * (body.n or 1) >= room:
        raise ApiError(
            400,
            f"this server has room for {room} answers at a time; send several requests",
            param="prompt",
            code="invalid_value",
        )


def asks(body: requests.CompletionRequest, answer_id: str, request: Request) -> list[prompts.Ask]:
    """Each of the request's prompts; raises `ApiError` 400 for a mixture."""
    max_tokens = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
    prompt_logprobs = body.prompt_logprobs
    if body.echo and body.logprobs is not None:
        prompt_logprobs = max(prompt_logprobs or 0, body.logprobs)
    return [
        answers.ask(
            body,
            f"{answer_id}-{index}",
            prompt,
            max_tokens=max(max_tokens, 1),  # with 0 one is computed and not shown
            logprobs=body.logprobs,
            prompt_logprobs=prompt_logprobs,
            http=request,
        )
        for index, prompt in enumerate(_prompts(body.prompt))
    ]


def _prompts(prompt: str | list[str | int | list[int]]) -> list[prompts.Prompt]:
    if isinstance(prompt, str):
        return [prompt]
    kinds = {*map(type, prompt)}
    if kinds == {int}:
        return [prompt]  # type: ignore[list-item]  # all of them are token ids
    if len(kinds) == 1:
        return [*prompt]  # type: ignore[list-item]  # all are texts, or all are token ids
    raise ApiError(
        400,
        "`prompt` is text, token ids, a list of texts or a list of lists of token ids: not a mixture",
        param="prompt",
        code="invalid_value",
    )
