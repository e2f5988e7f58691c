"""Bodies of requests, as msgspec structs: parsed in microseconds, described in /openapi.json.

Names, defaults and ranges are OpenAI's where it has the field, else vLLM's; null is as good as left out. Of a
field that this server gives no effect `only` says which values it takes all the same.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kvring_node.engine.admission import MOST_ANSWERS, MOST_LOGPROBS
from kvring_node.web import forms
from kvring_node.web.harmless import Harmless, Ignored, only
from kvring_node.web.turns import Continues, GenerationPrompt, Messages, Variables

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
RequestName = Annotated[
    str,
    Meta(pattern="^[!-~]{1,128}$", description="becomes part of the answer's `id`, and the name in the log"),
]
StopText = Annotated[str, Meta(min_length=1, max_length=1024)]
Stop = StopText | Annotated[list[StopText], Meta(max_length=16)] | None
Tenant = Annotated[str, Meta(max_length=256, description="whose it is, unless X-Kvring-Tenant says so")]

_BEST_OF = "ask for `n` answers with `logprobs` and choose among them"
_REASONING = "say it to the model's template by `chat_template_kwargs`"


class GenerateRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/generate: a prompt as text, or as token ids in `prompt_tokens`."""

    prompt: str | None = None
    prompt_tokens: list[TokenId] | None = None
    max_tokens: MaxTokens | None = 16
    temperature: Temperature | None = None
    top_p: TopP | None = None
    priority: Priority | None = 0
    stream: bool | None = False


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/batch: requests as for POST /v1/generate, each taken or refused by itself."""

    requests: Annotated[
        list[
            Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/GenerateRequest"})]
        ],
        Meta(min_length=1, max_length=1024),
    ]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`stream_options`: ask for a last event with the usage, and for the usage so far in all events."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: Ignored = None


class OpenAIRequest(Harmless, forbid_unknown_fields=True, kw_only=True):
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
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    min_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    prompt_logprobs: NumTop | None = None
    priority: Priority | None = None
    deadline_s: DeadlineS | None = None
    user: Tenant | None = None
    request_id: RequestName | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    response_format: forms.ResponseFormat | None = None
    structured_outputs: forms.StructuredOutputs | None = None
    guided_json: forms.Schema | None = None
    guided_regex: str | None = None
    guided_choice: forms.Choices | None = None
    guided_grammar: forms.LarkGrammar | None = None


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
    add_special_tokens: Annotated[Any, only(None, True, instead="send token ids")] = None
    best_of: Annotated[Any, only(None, 1, instead=_BEST_OF)] = None
    suffix: Annotated[Any, only(None, "")] = None
    prompt_embeds: Annotated[Any, only(None, [])] = None


class ChatCompletionRequest(OpenAIRequest, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/chat/completions. Without a limit the answer may fill the model's context."""

    messages: Messages
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: NumTop | None = None
    add_generation_prompt: GenerationPrompt | None = None
    continue_final_message: Continues | None = None
    add_special_tokens: bool | None = None
    chat_template_kwargs: Variables | None = None

    prediction: Ignored = None
    tools: Annotated[Any, only(None, [])] = None
    tool_choice: Annotated[Any, only(None, "none", "auto")] = None
    parallel_tool_calls: Annotated[Any, only(None, True, False)] = None
    functions: Annotated[Any, only(None, [])] = None
    function_call: Annotated[Any, only(None, "none", "auto")] = None
    modalities: Annotated[Any, only(None, ["text"])] = None
    audio: Annotated[Any, only(None)] = None
    reasoning_effort: Annotated[Any, only(None, instead=_REASONING)] = None
    verbosity: Annotated[Any, only(None, "medium", instead="say it in a message")] = None
    web_search_options: Annotated[Any, only(None)] = None
    include_reasoning: Annotated[Any, only(None, True)] = None
    echo: Annotated[Any, only(None, False)] = None
    documents: Annotated[Any, only(None, [], instead="put them into a message")] = None
    chat_template: Annotated[Any, only(None, instead="use /v1/completions")] = None
    return_prompt_text: Annotated[Any, only(None, False)] = None
    return_token_ids: Annotated[Any, only(None, False)] = None
    media_io_kwargs: Annotated[Any, only(None, {})] = None
    mm_processor_kwargs: Annotated[Any, only(None, {})] = None


class TokenizeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /tokenize: a text, or a conversation as the model's template writes it.

    `add_special_tokens`: by default those that the model wants around a text; a template has its own.
    """

    model: str | None = None
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    add_generation_prompt: GenerationPrompt | None = None
    continue_final_message: Continues | None = None
    chat_template_kwargs: Variables | None = None
    tools: Annotated[Any, only(None, [])] = None
    chat_template: Annotated[Any, only(None)] = None
    media_io_kwargs: Annotated[Any, only(None, {})] = None
    mm_processor_kwargs: Annotated[Any, only(None, {})] = None


class DetokenizeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /detokenize: token ids; special ones show as their names."""

    model: str | None = None
    tokens: list[TokenId]
