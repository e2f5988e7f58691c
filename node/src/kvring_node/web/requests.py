"""Bodies of requests, as msgspec structs: parsed in microseconds, described in /openapi.json.

Fields that OpenAI's API has and this server cannot give an effect yet are declared with `Unsupported`:
clients that send their harmless value are served, others get an error that names the field.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MaxTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
Priority = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1, description="lower runs first")]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
StopText = Annotated[str, Meta(min_length=1, max_length=1024)]
Stop = StopText | Annotated[list[StopText], Meta(max_length=16)] | None
Ignored = Annotated[Any, Meta(description="accepted and ignored")]
Unsupported = Annotated[Any, Meta(description="only its harmless value is accepted")]

HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "parallel_tool_calls": (None, True, False),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "top_k": (None, -1, 0),
    "min_p": (None, 0),
    "min_tokens": (None, 0),
    "repetition_penalty": (None, 1),
}
"""Values of unsupported fields that ask for nothing."""


class GenerateRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/generate: a prompt as text, or as token ids in `prompt_tokens`."""

    prompt: str | None = None
    prompt_tokens: list[TokenId] | None = None
    max_tokens: MaxTokens = 16
    temperature: Temperature = 1.0
    top_p: TopP = 1.0
    priority: Priority = 0
    stream: bool = False


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`stream_options`: ask for a last event with the usage."""

    include_usage: bool | None = None
    include_obfuscation: Ignored = None


class OpenAIRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What completions and chat completions have in common."""

    model: str | None = None
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    seed: Seed | None = None
    stop: Stop = None
    stop_token_ids: list[TokenId] | None = None
    ignore_eos: bool = False
    priority: Priority = 0
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None

    n: Unsupported = None
    logprobs: Unsupported = None
    logit_bias: Unsupported = None
    presence_penalty: Unsupported = None
    frequency_penalty: Unsupported = None
    response_format: Unsupported = None
    top_k: Unsupported = None
    min_p: Unsupported = None
    min_tokens: Unsupported = None
    repetition_penalty: Unsupported = None


class CompletionRequest(OpenAIRequest, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/completions. `prompt` is text, token ids, or a list of either: one choice for each."""

    prompt: str | Annotated[list[str | TokenId | list[TokenId]], Meta(min_length=1)]
    best_of: Unsupported = None
    echo: Unsupported = None
    suffix: Unsupported = None


class TextPart(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of a message's content; only text is understood."""

    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: Ignored = None
    refusal: Ignored = None


class ChatCompletionRequest(OpenAIRequest, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/chat/completions. Without a limit the answer may fill the model's context."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: MaxTokens | None = None
    top_logprobs: Unsupported = None
    tools: Unsupported = None
    tool_choice: Unsupported = None
    parallel_tool_calls: Unsupported = None
    functions: Unsupported = None
    function_call: Unsupported = None
    modalities: Unsupported = None
