"""Bodies of requests and responses as msgspec structs: parsed in microseconds, described in /openapi.json.

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


class GenerateResponse(msgspec.Struct, kw_only=True):
    """The answer to POST /v1/generate; `prompt_tokens` and `generated_tokens` are counts.

    In a stream `finish_reason` is null until the last event.
    """

    request_id: str
    prompt_tokens: int
    generated_tokens: int
    text: str
    token_ids: list[int]
    latency_ms: float
    throughput_tokens_per_sec: float
    finish_reason: str | None


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


class PromptTokensDetails(msgspec.Struct):
    """How many of the prompt's tokens came from the KV cache."""

    cached_tokens: int


class Usage(msgspec.Struct, kw_only=True):
    """Tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class CompletionChoice(msgspec.Struct, kw_only=True):
    """One answer, or a piece of it in a stream."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: str | None


class Completion(msgspec.Struct, kw_only=True):
    """The answer to POST /v1/completions, and each event of its stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


class AssistantMessage(msgspec.Struct, kw_only=True):
    """The assistant's turn."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(msgspec.Struct, kw_only=True):
    """One answer."""

    index: int
    message: AssistantMessage
    logprobs: None = None
    finish_reason: str


class ChatCompletion(msgspec.Struct, kw_only=True):
    """The answer to POST /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an event adds to the assistant's turn; the first one names the role."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(msgspec.Struct, kw_only=True):
    """A piece of an answer."""

    index: int
    delta: Delta
    logprobs: None = None
    finish_reason: str | None


class ChatCompletionChunk(msgspec.Struct, kw_only=True):
    """Each event of a streamed chat completion."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


class ModelCard(msgspec.Struct, kw_only=True):
    """An entry of GET /v1/models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "kvring"
    root: str
    parent: None = None
    max_model_len: int


class ModelList(msgspec.Struct, kw_only=True):
    """The answer to GET /v1/models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong and what to do."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(msgspec.Struct):
    """Every 4xx and 5xx answer, and an error in the middle of a stream."""

    error: ErrorDetail


class Health(msgspec.Struct, kw_only=True):
    """`status` is loading, serving, draining or failed; `ready` says whether new requests are welcome."""

    status: str
    ready: bool
    model: str


class Version(msgspec.Struct, kw_only=True):
    """The answer to GET /version."""

    version: str


class NodeMetrics(msgspec.Struct, kw_only=True):
    """The answer to GET /v1/metrics: the engine now, and totals since it started."""

    requests_running: int
    requests_waiting: int
    pages_used: int
    pages_total: int
    page_bytes: int
    prefix_queries_tokens: int
    prefix_hits_tokens: int
    preemptions: int
    engine_steps: int
