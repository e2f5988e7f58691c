"""From OpenAI's fields to the desk's, and from generations back to usage."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fastapi import Request

from kvring_node import messages, prompts, service
from kvring_node.web import requests, responses, streaming
from kvring_node.web.context import Context

GENERATION_ERRORS = (400, 404, 413, 429, 503)


@dataclass(frozen=True)
class Envelope:
    """What all events of one answer repeat."""

    id: str
    created: int
    model: str
    system_fingerprint: str


def envelope(context: Context, answer_id: str) -> Envelope:
    """For an answer that begins now."""
    return Envelope(answer_id, int(context.wall_clock()), context.settings.served_name, context.fingerprint())


def ask(
    request: requests.OpenAIRequest, request_id: str, prompt: prompts.Prompt, max_tokens: int | None
) -> prompts.Ask:
    """One prompt with the request's parameters; OpenAI's defaults for what was left out."""
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    params = messages.SamplingParams(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=request.seed,
        stop_token_ids=tuple(request.stop_token_ids or ()),
        ignore_eos=request.ignore_eos,
    )
    return prompts.Ask(request_id, prompt, params, max_tokens, stop, request.priority)


async def open_all(
    desk: service.FrontDesk, asks: Sequence[prompts.Ask]
) -> tuple[contextlib.ExitStack, list[service.Generation]]:
    """All of them in the engine, or none; closing the stack closes them."""
    with contextlib.ExitStack() as stack:
        generations = [stack.enter_context(await desk.open(one)) for one in asks]
        return stack.pop_all(), generations


async def stream(
    request: Request,
    generations: Sequence[service.Generation],
    events: AsyncIterator[bytes],
    held: contextlib.ExitStack,
) -> streaming.EventStream:
    """The response, once there is a first token: until then a failure still has its own status."""
    with held:
        await streaming.while_client_waits(request, generations[0].begun())
        return streaming.EventStream(events, held.pop_all())


async def collect(generation: service.Generation) -> tuple[str, str]:
    """The whole text, and why it ended."""
    piece = await generation.whole()
    return piece.text, str(piece.finish_reason)


def usage(generations: Sequence[service.Generation]) -> responses.Usage:
    """Tokens of all prompts and answers so far."""
    prompt = sum(len(one.submit.prompt_token_ids) for one in generations)
    answer = sum(len(one.progress.token_ids) for one in generations)
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
