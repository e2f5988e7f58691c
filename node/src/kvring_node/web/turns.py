"""Conversations: messages as clients send them, and as the model's chat template takes them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from kvring_node import prompts
from kvring_node.web.errors import ApiError
from kvring_node.web.harmless import Ignored, only


class TextPart(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of a message's content; only text is understood."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: Ignored = None


class ChatMessage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One turn of a conversation. Clients send an assistant's back as they got it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: Ignored = None
    refusal: Ignored = None
    annotations: Ignored = None
    audio: Annotated[Any, only(None)] = None
    function_call: Annotated[Any, only(None)] = None
    tool_calls: Annotated[Any, only(None, [])] = None
    reasoning: Annotated[Any, only(None, "")] = None
    reasoning_content: Annotated[Any, only(None, "")] = None


Messages = Annotated[list[ChatMessage], Meta(min_length=1)]
GenerationPrompt = Annotated[bool, Meta(description="whether the assistant is next; yes when left out")]
Continues = Annotated[bool, Meta(description="the answer goes on with the last message")]
Variables = Annotated[dict[str, Any], Meta(description="what the model's chat template may ask for by name")]


class Templated(Protocol):
    """The fields of a request that say how its messages become a prompt."""

    add_generation_prompt: GenerationPrompt | None
    continue_final_message: Continues | None
    add_special_tokens: bool | None
    chat_template_kwargs: Variables | None


RESERVED = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
        "add_special_tokens",
        "chat_template",
        "tokenize",
        "raise_exception",
        "strftime_now",
    }
)
"""What a template finds under these names, and under those of special tokens, is not for clients to say."""


def conversation(messages: Sequence[ChatMessage], how: Templated) -> prompts.Conversation:
    """The messages as the model's template wants them; raises `ApiError` 400 for fields at odds."""
    continues = bool(how.continue_final_message)
    if continues and how.add_generation_prompt:
        raise ApiError(
            400,
            "continue_final_message goes on with a message and add_generation_prompt begins one; keep one",
            param="continue_final_message",
            code="invalid_value",
        )
    variables = how.chat_template_kwargs or {}
    for name in variables:
        if name in RESERVED or name.endswith("_token"):
            raise ApiError(
                400,
                f"chat_template_kwargs cannot set `{name}`: it has a field of its own, or is the server's",
                param=f"chat_template_kwargs.{name}",
                code="invalid_value",
            )
    begins = not continues and how.add_generation_prompt is not False
    return prompts.Conversation(
        [_turn(one) for one in messages],
        {
            **variables,
            "add_generation_prompt": begins,
            "continue_final_message": continues,
            "add_special_tokens": bool(how.add_special_tokens),
        },
    )


def _turn(message: ChatMessage) -> dict[str, str]:
    # Templates of open models know "system"; "developer" is OpenAI's newer word for it.
    role = "system" if message.role == "developer" else message.role
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text for part in content)
    return {"role": role, "content": text}
