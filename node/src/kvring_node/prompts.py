"""Prompts of every kind made token ids, and held against what the model can take."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from kvring_node import messages

_P = TypeVar("_P")

THREAD_CHARS = 4096
"""Longer prompts are tokenised in a thread: about 1 ms of work, more would be felt by running streams."""


class Detokenizer(Protocol):
    """Turns one answer's token ids into text as they come."""

    def push(self, token_ids: list[int], /) -> str:
        """The text that is complete now: never half a character."""

    def flush(self) -> str:
        """The rest, at the end of the answer."""


class Tokenizer(Protocol):
    """What the front needs of the model's tokenizer."""

    def encode(self, text: str, /) -> list[int]:
        """Token ids of a prompt."""

    def encode_chat(self, messages: list[dict[str, str]], /) -> list[int]:
        """Token ids of a conversation, ending where the assistant's turn begins; raises `ValueError`."""

    def detokenizer(self) -> Detokenizer:
        """For one answer."""


@dataclass(frozen=True)
class Conversation:
    """A prompt as turns, each with `role` and `content`; the model's chat template makes tokens of it."""

    turns: list[dict[str, str]]


Prompt = str | list[int] | Conversation
"""Text, token ids, or a conversation."""


@dataclass(frozen=True)
class Ask:
    """One prompt and how to answer it; `max_tokens` None means as many as the model has room for."""

    request_id: str
    prompt: Prompt
    params: messages.SamplingParams
    max_tokens: int | None
    stop: tuple[str, ...] = ()
    priority: int = 0


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
            return await _in_thread_if(len(prompt) > THREAD_CHARS, tokenizer.encode, prompt)
        case Conversation(turns):
            num_chars = sum(len(turn["content"]) for turn in turns)
            try:
                return await _in_thread_if(num_chars > THREAD_CHARS, tokenizer.encode_chat, turns)
            except ValueError as error:
                raise InvalidAsk(str(error), "messages", "invalid_value") from error
        case _:
            return prompt


async def _in_thread_if(is_long: bool, encode: Callable[[_P], list[int]], prompt: _P) -> list[int]:
    return await asyncio.to_thread(encode, prompt) if is_long else encode(prompt)


def fit(ask: Ask, num_prompt_tokens: int, limit: int) -> messages.SamplingParams:
    """The sampling parameters, with the room that `limit` tokens leave; raises `InvalidAsk` without any."""
    param = "messages" if isinstance(ask.prompt, Conversation) else "prompt"
    if num_prompt_tokens == 0:
        raise InvalidAsk("the prompt is empty; give at least one token", param, "invalid_value")
    if num_prompt_tokens >= limit:
        raise InvalidAsk(
            f"this model takes {limit} tokens and the prompt alone has {num_prompt_tokens}; shorten it",
            param,
            "context_length_exceeded",
        )
    room = limit - num_prompt_tokens
    if ask.max_tokens is not None and ask.max_tokens > room:
        raise InvalidAsk(
            f"this model takes {limit} tokens: the prompt has {num_prompt_tokens}, so max_tokens can be "
            f"at most {room}, not {ask.max_tokens}; shorten the prompt or lower max_tokens",
            "max_tokens",
            "context_length_exceeded",
        )
    return msgspec.structs.replace(ask.params, max_tokens=ask.max_tokens or room)
