"""Bodies of requests, as msgspec structs: parsed in microseconds, described in /openapi.json.

Names, defaults and ranges are OpenAI's where it has the field, else vLLM's. Fields that OpenAI's API has and
this server gives no effect are declared with `Unsupported`: clients that send their harmless value are
served, others get an error that names the field.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kvring_node.engine.admission import MOST_ANSWERS, MOST_LOGPROBS
from kvring_node.web import forms

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MaxTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Answers = Annotated[int, Meta(ge=1, le=MOST_ANSWERS)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=-1, le=2**31 - 1, description="-1 and 0 mean all")]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Divisor = Annotated[float, Meta(ge=0.01, le=100)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
NumTop = Annotated[int, Meta(ge=0, le=MOST_LOGPROBS)]
Priority = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1, description="lower runs first")]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
DeadlineS = Annotated[float, Meta(gt=0, description="the answer is wanted whole within so many seconds")]
StopText = Annotated[str, Meta(min_length=1, max_length=1024)]
Stop = StopText | Annotated[list[StopText], Meta(max_length=16)] | None
Tenant = Annotated[str, Meta(max_length=256, description="whose it is, unless X-Kvring-Tenant says so")]
Ignored = Annotated[Any, Meta(description="accepted and ignored")]
Unsupported = Annotated[Any, Meta(description="only its harmless value is accepted")]

HARMLESS: dict[str, tuple[Any, ...]] = {
    "best_of": (None, 1),
    "suffix": (None, ""),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "parallel_tool_calls": (None, True, False),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
}
"""Values of unsupported fields that ask for nothing."""

REMEDIES = {"best_of": "ask for `n` answers with `logprobs` and choose among them"}
"""What to do instead of leaving the field out."""


class GenerateRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/generate: a prompt as text, or as token ids in `prompt_tokens`."""

    prompt: str | None = None
    prompt_tokens: list[TokenId] | None = None
    max_tokens: MaxTokens = 16
    temperature: Temperature = 1.0
    top_p: TopP = 1.0
    priority: Priority = 0
    stream: bool = False


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/batch: requests as for POST /v1/generate, each taken or refused by itself."""

    requests: Annotated[
        list[
            Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/GenerateRequest"})]
        ],
        Meta(min_length=1, max_length=1024),
    ]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`stream_options`: ask for a last event with the usage."""

    include_usage: bool | None = None
    include_obfuscation: Ignored = None


class OpenAIRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What completions and chat completions have in common."""

    model: str | None = None
    max_tokens: MaxTokens | None = None
    n: Answers | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: Share | None = None
    repetition_penalty: Divisor | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[TokenId, Bias] | None = None
    seed: Seed | None = None
    stop: Stop = None
    stop_token_ids: list[TokenId] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    prompt_logprobs: NumTop | None = None
    priority: Priority = 0
    deadline_s: DeadlineS | None = None
    user: Tenant | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    response_format: forms.ResponseFormat | None = None
    structured_outputs: forms.StructuredOutputs | None = None
    guided_json: forms.Schema | None = None
    guided_regex: str | None = None
    guided_choice: forms.Choices | None = None
    guided_grammar: str | None = None

    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None


class CompletionRequest(OpenAIRequest, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/completions. `prompt` is text, token ids, or a list of either.

    Each prompt has `n` choices, numbered prompt after prompt. With `echo` and `max_tokens` 0 nothing is added
    to the prompt, which is how its `logprobs` are asked for.
    """

    prompt: str | Annotated[list[str | TokenId | list[TokenId]], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1, description="16 when left out")] | None = None
    logprobs: NumTop | None = None
    echo: bool | None = None
    return_token_ids: bool | None = None
    best_of: Unsupported = None
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


Messages = Annotated[list[ChatMessage], Meta(min_length=1)]


class ChatCompletionRequest(OpenAIRequest, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/chat/completions. Without a limit the answer may fill the model's context."""

    messages: Messages
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: NumTop | None = None
    tools: Unsupported = None
    tool_choice: Unsupported = None
    parallel_tool_calls: Unsupported = None
    functions: Unsupported = None
    function_call: Unsupported = None
    modalities: Unsupported = None


class TokenizeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /tokenize: a text, or a conversation as the model's template writes it.

    `add_special_tokens`: by default those that the model wants around a text; a template has its own.
    """

    model: str | None = None
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = True
    return_token_strs: bool | None = None


class DetokenizeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /detokenize: token ids; special ones show as their names."""

    model: str | None = None
    tokens: list[TokenId]
