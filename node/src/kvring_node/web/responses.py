"""Bodies of responses, as msgspec structs."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


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


class BatchResponse(msgspec.Struct, kw_only=True):
    """The answer to POST /v1/batch: for each request, in order, its answer or why there is none."""

    responses: list[
        Annotated[
            Any,
            Meta(
                extra_json_schema={
                    "anyOf": [
                        {"$ref": "#/components/schemas/GenerateResponse"},
                        {"$ref": "#/components/schemas/ErrorBody"},
                    ]
                }
            ),
        ]
    ]


class PromptTokensDetails(msgspec.Struct):
    """How many of the prompt's tokens came from the KV cache."""

    cached_tokens: int


class Usage(msgspec.Struct, kw_only=True):
    """Tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class PromptLogprob(msgspec.Struct, kw_only=True):
    """vLLM's: how likely a token was; `rank` counts from 1."""

    logprob: float
    rank: int
    decoded_token: str


PromptLogprobs = list[dict[str, PromptLogprob] | None]
"""For each token of the prompt those asked for and itself, by token id; None for the first."""


class CompletionLogprobs(msgspec.Struct, kw_only=True):
    """For each token its text, log probability, likeliest rivals, and place in the text in characters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(msgspec.Struct, kw_only=True):
    """One answer, or a piece of it in a stream.

    vLLM's are `stop_reason`, the stop string or token id, and `token_ids`, given with `return_token_ids`.
    """

    index: int
    text: str
    token_ids: list[int] | msgspec.UnsetType = msgspec.UNSET
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None
    stop_reason: str | int | None = None
    prompt_logprobs: PromptLogprobs | msgspec.UnsetType = msgspec.UNSET


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


class TopLogprob(msgspec.Struct, kw_only=True):
    """A token that might have come; `bytes` are exact where `token` shows U+FFFD for half a character."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob, kw_only=True):
    """A token that came, and its likeliest rivals."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct, kw_only=True):
    """For each token of an answer."""

    content: list[TokenLogprob]
    refusal: None = None


class ChatChoice(msgspec.Struct, kw_only=True):
    """One answer. `stop_reason` is vLLM's: the stop string or token id that ended it."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: str
    stop_reason: str | int | None = None


class ChatCompletion(msgspec.Struct, kw_only=True):
    """The answer to POST /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    prompt_logprobs: PromptLogprobs | msgspec.UnsetType = msgspec.UNSET


class Delta(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an event adds to the assistant's turn; the first one names the role."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(msgspec.Struct, kw_only=True):
    """A piece of an answer."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None
    stop_reason: str | int | None = None


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


class Tokenized(msgspec.Struct, kw_only=True):
    """The answer to POST /tokenize; `token_strs` when they were asked for."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class Detokenized(msgspec.Struct, kw_only=True):
    """The answer to POST /detokenize."""

    prompt: str


class Load(msgspec.Struct, kw_only=True):
    """The answer to GET /load: answers in the making or waiting."""

    server_load: int


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
    """The answer to GET /v1/metrics: the engine and the front now, and totals since they started."""

    requests_running: int
    requests_waiting: int
    pages_used: int
    pages_total: int
    page_bytes: int
    prefix_queries_tokens: int
    prefix_hits_tokens: int
    preemptions: int
    engine_steps: int
    front_tasks: int
