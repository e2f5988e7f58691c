"""POST /tokenize and POST /detokenize, in vLLM's shapes."""

import functools

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from kvring_node import prompts
from kvring_node.web import bodies, context, describe, requests, responses, turns
from kvring_node.web.errors import ApiError

_ERRORS = (400, 404, 413, 503)


def routes(ctx: context.Context) -> APIRouter:
    """The routes of this file."""
    router = APIRouter(tags=["tokens"], route_class=describe.BareRoute)
    tokenize_decoder = msgspec.json.Decoder(requests.TokenizeRequest)
    detokenize_decoder = msgspec.json.Decoder(requests.DetokenizeRequest)

    @router.post(
        "/tokenize",
        summary="Token ids of a text or a conversation",
        **describe.route(takes=requests.TokenizeRequest, gives=responses.Tokenized, errors=_ERRORS),
    )
    async def tokenize(request: Request) -> Response:
        body = await bodies.read(request, tokenize_decoder, ctx.settings.max_body_bytes)
        ctx.check_model(body.model)
        served = ctx.desk.model()
        token_ids = await _token_ids(body, served.tokenizer)
        is_long = len(token_ids) > prompts.THREAD_CHARS
        spell = functools.partial(_spelled, served.tokenizer)
        token_strs = await prompts.in_thread_if(is_long, spell, token_ids) if body.return_token_strs else None
        return bodies.answer(
            responses.Tokenized(
                count=len(token_ids),
                max_model_len=served.loaded.max_model_len,
                tokens=token_ids,
                token_strs=token_strs,
            )
        )

    @router.post(
        "/detokenize",
        summary="Text of token ids",
        **describe.route(takes=requests.DetokenizeRequest, gives=responses.Detokenized, errors=_ERRORS),
    )
    async def detokenize(request: Request) -> Response:
        body = await bodies.read(request, detokenize_decoder, ctx.settings.max_body_bytes)
        ctx.check_model(body.model)
        decode = functools.partial(ctx.desk.model().tokenizer.decode, skip_special_tokens=False)
        text = await prompts.in_thread_if(len(body.tokens) > prompts.THREAD_CHARS, decode, body.tokens)
        return bodies.answer(responses.Detokenized(prompt=text))

    return router


async def _token_ids(body: requests.TokenizeRequest, tokenizer: prompts.Tokenizer) -> list[int]:
    match body.prompt, body.messages:
        case str(text), None:
            encode = functools.partial(
                tokenizer.encode, add_special_tokens=body.add_special_tokens is not False
            )
            return await prompts.in_thread_if(len(text) > prompts.THREAD_CHARS, encode, text)
        case None, list(messages):
            return await prompts.tokenise_chat(tokenizer, turns.conversation(messages, body))
        case _:
            raise ApiError(400, "give either `prompt` or `messages`", param="prompt", code="invalid_value")


def _spelled(tokenizer: prompts.Tokenizer, token_ids: list[int]) -> list[str]:
    return [tokenizer.spell(token_id).decode("utf-8", "replace") for token_id in token_ids]
