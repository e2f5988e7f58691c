"""Prompts of every kind made token ids, and held against what the model can take."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from kvring_node import messages
from kvring_node.account import Origin

_P = TypeVar("_P")
_R = TypeVar("_R")

THREAD_CHARS = 4096
"""Longer prompts are tokenised in a thread: about 1 ms of work, more would be felt by running streams."""

_TURN_CHARS = 32
"""What a chat template has to do for a turn, however short."""


class Detokenizer(Protocol):
    """Turns one answer's token ids into text as they come."""

    def push(self, token_ids: list[int], /) -> str:
        """The text that is complete now: never half a character."""

    def flush(self) -> str:
        """The rest, at the end of the answer."""


class Tokenizer(Protocol):
    """What the front needs of the model's tokenizer."""

    def encode(self, text: str, /, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a prompt, with those that the model wants around it."""

    def encode_chat(
        self,
        messages: list[dict[str, str]],
        /,
        *,
        add_special_tokens: bool = False,
        continue_final_message: bool = False,
        **variables: Any,
    ) -> list[int]:
        """Token ids of a conversation, ending where the assistant's turn begins; raises `ValueError`.

        With `continue_final_message` they end within the last turn. `variables` are the chat template's.
        """

    def decode(self, token_ids: list[int], /, *, skip_special_tokens: bool = True) -> str:
        """Text of tokens."""

    def spell(self, token_id: int, /) -> bytes:
        """What one token spells, byte for byte: perhaps half a character."""

    def detokenizer(self, prompt: Sequence[int], /) -> Detokenizer:
        """For one answer to `prompt`."""


@dataclass(frozen=True)
class Conversation:
    """A prompt as turns, each with `role` and `content`; the model's chat template makes tokens of it.

    `options` are those of `Tokenizer.encode_chat`.
    """

    turns: list[dict[str, str]]
    options: dict[str, Any]


Prompt = str | list[int] | Conversation
"""Text, token ids, or a conversation."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One prompt and how to answer it.

    Attributes:
        max_tokens: None means as many as the model has room for.
        origin: the HTTP request that asks.
        keeps_stop: what ends an answer, a stop string or a token, is part of its text.
        unsaid: parameters on which the request says nothing, for the model's defaults to fill.
        form_field: the field by which the request fixed the form of its answers.
        priority, tenant, deadline_s: as in `messages.Submit`.
    """

    request_id: str
    prompt: Prompt
    params: messages.SamplingParams
    max_tokens: int | None
    origin: Origin
    stop: tuple[str, ...] = ()
    keeps_stop: bool = False
    unsaid: frozenset[str] = frozenset()
    form_field: str = "response_format"
    priority: int = 0
    tenant: str = ""
    deadline_s: float | None = None

    def field(self, param: str) -> str:
        """What the request calls the parameter `param` of the engine."""
        if param == "prompt" and isinstance(self.prompt, Conversation):
            return "messages"
        return self.form_field if param == "grammar" else param


class InvalidAsk(ValueError):
    """The model cannot answer this prompt; `code` is OpenAI's word for why, `param` the field at fault."""

    def __init__(self, message: str, param: str, code: str) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


async def tokenise(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """Token ids of a prompt; raises `InvalidAsk` when the chat template refuses it."""
    match prompt:
        case str():
            return await in_thread_if(len(prompt) > THREAD_CHARS, tokenizer.encode, prompt)
        case Conversation():
            return await tokenise_chat(tokenizer, prompt)
        case _:
            return prompt


async def tokenise_chat(tokenizer: Tokenizer, conversation: Conversation) -> list[int]:
    """Token ids of a conversation; raises `InvalidAsk` when the chat template refuses it."""
    num_chars = sum(len(turn["content"]) + _TURN_CHARS for turn in conversation.turns)
    encode = functools.partial(tokenizer.encode_chat, **conversation.options)
    try:
        return await in_thread_if(num_chars > THREAD_CHARS, encode, conversation.turns)
    except ValueError as error:
        raise InvalidAsk(str(error), "messages", "invalid_value") from error


async def in_thread_if(is_long: bool, work: Callable[[_P], _R], value: _P) -> _R:
    """What `work` makes of `value`; in a thread when the event loop would feel it."""
    return await asyncio.to_thread(work, value) if is_long else work(value)


def fit(ask: Ask, num_prompt_tokens: int, limit: int) -> messages.SamplingParams:
    """The sampling parameters, with the room that `limit` tokens leave; raises `InvalidAsk` without any."""
    param = ask.field("prompt")
    if num_prompt_tokens == 0:
        raise InvalidAsk("the prompt is empty; give at least one token", param, "invalid_value")
    maximum = f"this model's maximum context length is {limit} tokens"  # words that clients look for
    if num_prompt_tokens >= limit:
        raise InvalidAsk(
            f"{maximum} and the prompt alone has {num_prompt_tokens}; shorten it",
            param,
            "context_length_exceeded",
        )
    room = limit - num_prompt_tokens
    if ask.max_tokens is not None and ask.max_tokens > room:
        raise InvalidAsk(
            f"{maximum}: the prompt has {num_prompt_tokens}, so max_tokens can be at most {room}, "
            f"not {ask.max_tokens}; shorten the prompt or lower max_tokens",
            "max_tokens",
            "context_length_exceeded",
        )
    max_tokens = ask.max_tokens or room
    if ask.params.min_tokens > max_tokens:
        raise InvalidAsk(
            f"min_tokens can be at most max_tokens, {max_tokens} here, not {ask.params.min_tokens}",
            "min_tokens",
            "invalid_value",
        )
    return msgspec.structs.replace(ask.params, max_tokens=max_tokens)
