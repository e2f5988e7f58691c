"""From OpenAI's fields to the desk's, and from generations back to pieces and usage."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec
from fastapi import Request

from kvring_node import messages, prompts, service
from kvring_node.generation import Generation, Piece
from kvring_node.web import context, forms, logprobs, requests, responses, streaming
from kvring_node.web.errors import ApiError

GENERATION_ERRORS = (400, 404, 413, 429, 503)


@dataclass(frozen=True)
class Envelope:
    """What all events of one answer repeat."""

    id: str
    created: int
    model: str
    system_fingerprint: str


def envelope(ctx: context.Context, request: requests.OpenAIRequest, prefix: str, unique: str) -> Envelope:
    """For an answer that begins now, named by the client or else `unique`."""
    return Envelope(
        f"{prefix}-{request.request_id or unique}",
        int(ctx.wall_clock()),
        ctx.settings.served_name,
        ctx.fingerprint(),
    )


def check(request: requests.OpenAIRequest) -> None:
    """Raise `ApiError` 400 for fields that exclude each other."""
    if request.stream and request.prompt_logprobs is not None:
        raise ApiError(
            400,
            "prompt_logprobs are not available in a stream; leave one of the two out",
            param="prompt_logprobs",
            code="invalid_value",
        )
    if request.stream_options is not None and not request.stream:
        raise ApiError(
            400,
            "stream_options are only for streams; set `stream` or leave them out",
            param="stream_options",
            code="invalid_value",
        )


def ask(
    request: requests.OpenAIRequest,
    request_id: str,
    prompt: prompts.Prompt,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    prompt_logprobs: int | None,
    http: Request,
) -> prompts.Ask:
    """One prompt with the request's parameters; OpenAI's defaults for what was left out."""
    form_field, grammar = forms.grammar(request)
    params = messages.SamplingParams(
        n=request.n or 1,
        temperature=or_default(request.temperature, 1.0),
        top_k=max(request.top_k or 0, 0),
        top_p=or_default(request.top_p, 1.0),
        min_p=request.min_p or 0.0,
        repetition_penalty=or_default(request.repetition_penalty, 1.0),
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        logit_bias=tuple((request.logit_bias or {}).items()),
        seed=request.seed,
        stop_token_ids=tuple(request.stop_token_ids or ()),
        ignore_eos=bool(request.ignore_eos),
        min_tokens=request.min_tokens or 0,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        grammar=grammar,
    )
    return prompts.Ask(
        request_id=request_id,
        prompt=prompt,
        params=params,
        unsaid=unsaid(request),
        max_tokens=max_tokens,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        keeps_stop=bool(request.include_stop_str_in_output),
        form_field=form_field,
        priority=request.priority or 0,
        tenant=context.tenant(http, request.user),
        deadline_s=request.deadline_s,
        origin=context.origin(http, request.request_id),
    )


def unsaid(request: requests.OpenAIRequest | requests.GenerateRequest) -> frozenset[str]:
    """What the request leaves out and the model's makers may know better than OpenAI's defaults."""
    names = messages.SamplingDefaults.__struct_fields__
    return frozenset(name for name in names if getattr(request, name, None) is None)


async def open_all(
    desk: service.FrontDesk, asks: Sequence[prompts.Ask]
) -> tuple[contextlib.ExitStack, list[Generation]]:
    """All of them in the engine, or none; closing the stack closes them. Raises as `FrontDesk.open` does."""
    with contextlib.ExitStack() as stack:
        generations = [stack.enter_context(await desk.open(one)) for one in asks]
        return stack.pop_all(), generations


async def stream(
    request: Request,
    generations: Sequence[Generation],
    events: AsyncIterator[bytes],
    held: contextlib.ExitStack,
) -> streaming.EventStream:
    """The response, once there is a first token: until then a failure still has its own status."""
    with held:
        await streaming.while_client_waits(request, generations[0].begun())
        return streaming.EventStream(events, held.pop_all())


async def pieces(generations: Sequence[Generation]) -> AsyncIterator[tuple[Generation, int, Piece]]:
    """Pieces of all as they come, each with its generation and the number of its choice.

    Choices are numbered prompt after prompt, `n` for each.
    """
    if len(generations) == 1:
        async for piece in generations[0].pieces():
            yield generations[0], piece.index, piece
        return
    awaited = {
        asyncio.ensure_future(anext(source)): (number, source)
        for number, source in enumerate(generation.pieces() for generation in generations)
    }
    try:
        while awaited:
            done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                number, source = awaited.pop(future)
                with contextlib.suppress(StopAsyncIteration):
                    piece = future.result()
                    awaited[asyncio.ensure_future(anext(source))] = number, source
                    generation = generations[number]
                    yield generation, number * generation.submit.params.n + piece.index, piece
    finally:
        for future in awaited:
            future.cancel()
        await asyncio.gather(*awaited, return_exceptions=True)


def usage(generations: Sequence[Generation], *, with_answers: bool = True) -> responses.Usage:
    """Tokens of all prompts and answers so far."""
    prompt = sum(len(one.submit.prompt_token_ids) for one in generations)
    answer = sum(len(one.progress.token_ids) for one in generations) if with_answers else 0
    cached = sum(one.progress.num_cached_tokens for one in generations)
    return responses.Usage(
        prompt_tokens=prompt,
        completion_tokens=answer,
        total_tokens=prompt + answer,
        prompt_tokens_details=responses.PromptTokensDetails(cached),
    )


def wants_usage(request: requests.OpenAIRequest) -> bool:
    """Whether the stream shall end with an event that has the usage."""
    return bool(request.stream_options and request.stream_options.include_usage)


def usage_so_far(
    request: requests.OpenAIRequest, generations: Sequence[Generation], *, with_answers: bool = True
) -> responses.Usage | msgspec.UnsetType | None:
    """What the events before that one have for it: as OpenAI's null, with vLLM's option the usage so far."""
    options = request.stream_options
    if options is None or not options.include_usage:
        return msgspec.UNSET
    return usage(generations, with_answers=with_answers) if options.continuous_usage_stats else None


def prompt_logprobs(
    request: requests.OpenAIRequest, generation: Generation
) -> responses.PromptLogprobs | msgspec.UnsetType:
    """VLLM's field, when it was asked for."""
    if request.prompt_logprobs is None:
        return msgspec.UNSET
    return logprobs.prompt(generation.progress.prompt_logprobs, generation.tokenizer.spell)


def or_default(value: float | None, default: float) -> float:
    """The value, unless it was left out or null."""
    return default if value is None else value
