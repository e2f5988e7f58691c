"""What crosses between the HTTP front and the engine process: msgspec structs over ZeroMQ, and nothing else.

The front tokenises, applies chat templates, detokenises and watches stop strings; the engine sees
token ids only.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class FinishReason(StrEnum):
    """Why a sequence ended, in the OpenAI API's words; ABORT is the front's, for a client that went away."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"


class GrammarKind(StrEnum):
    """Languages in which a request may fix the form of its answer."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    LARK = "lark"


class Grammar(msgspec.Struct, frozen=True):
    """The form that an answer must have. `text` is written in the language `kind`."""

    kind: GrammarKind
    text: str


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to choose tokens, in vLLM's names and units; each default leaves the model's law as it is.

    What a model's makers advise (`SamplingDefaults`) counts for HTTP requests only: here you say it.

    Attributes:
        n: answers to the same prompt, each from its own draws.
        temperature: 0 is greedy.
        top_k: only the k likeliest tokens; 0 means all.
        top_p: only the fewest likeliest tokens that hold this share.
        min_p: only tokens at least this share as likely as the likeliest.
        repetition_penalty: divides positive, multiplies negative logits of tokens in prompt or answer.
        presence_penalty: taken from the logits of tokens that the answer has.
        frequency_penalty: the same for each time that the answer has them.
        logit_bias: pairs of token id and what is added to its logit.
        seed: gives one text, alone and in any batch; answer number i of `n` draws from `seed + i`.
        stop_token_ids: tokens that end the answer, beside the model's own.
        ignore_eos: the model's own do not end it.
        min_tokens: until then no token ends it, nor a stop string.
        logprobs: with each token its log probability and those of so many likeliest ones; None: nothing.
        prompt_logprobs: the same for each token of the prompt but the first.
        grammar: the form that the answer must have.
    """

    max_tokens: int = 16
    n: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    grammar: Grammar | None = None


class SamplingDefaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model's makers advise, for HTTP requests that leave it out; see `SamplingParams`.

    Ranges are those of a request's fields.
    """

    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=100)] = 1.0


class TokenLogprobs(msgspec.Struct, frozen=True, array_like=True):
    """What the model thought of one token: natural logarithms of its own law, before any sampling parameter.

    `rank` counts from 1; `top` are the likeliest tokens, best first.
    """

    token_id: int
    logprob: float
    rank: int
    top: list[tuple[int, float]]


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Front to engine: a new request.

    Attributes:
        priority: lower runs first, as in vLLM; only the strategy Priority looks at it.
        tenant: whose request it is; the strategy Fairness shares out by it.
        deadline_s: the answer is wanted whole so many seconds after it arrived; for the strategy SLA.
    """

    request_id: str
    prompt_token_ids: list[int]
    params: SamplingParams
    priority: int = 0
    tenant: str = ""
    deadline_s: float | None = None


class Abort(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Front to engine: nobody waits for this request any more; give its pages back. It is not answered.

    With an `index` that holds for this answer alone, of which the engine must have said something.
    """

    request_id: str
    index: int | None = None


class Tokens(msgspec.Struct, tag=True, omit_defaults=True):
    """Engine to front: what one step added to one answer of a request.

    An answer's last message has a finish reason. When that is STOP, the last token id is the token that
    stopped it: counted, and no part of the text.

    Attributes:
        num_cached_tokens: tokens of the prompt that were found computed.
        index: number of the answer, from 0; a request has `n`.
        is_last: nothing more comes for this request.
        first_scheduled_at: moment of the monotonic clock at which the request first ran.
        logprobs: one for each of `token_ids`, when they were asked for.
        prompt_logprobs: one for each token of the prompt but the first, with the request's first message.
    """

    request_id: str
    token_ids: list[int]
    num_cached_tokens: int
    finish_reason: FinishReason | None = None
    index: int = 0
    is_last: bool = False
    first_scheduled_at: float = 0.0
    logprobs: list[TokenLogprobs] | None = None
    prompt_logprobs: list[TokenLogprobs] | None = None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Engine to front: this request cannot run (say, it needs more pages than the pool has).

    `param` is the field at fault: "prompt", or one of `SamplingParams`.
    """

    request_id: str
    message: str
    param: str


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Engine to front, once: the model is there."""

    fingerprint: str
    device: str
    dtype: str
    max_model_len: int
    page_tokens: int
    num_pages: int
    page_bytes: int
    sampling: SamplingDefaults = SamplingDefaults()


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """Engine to front, then it exits: no model. `reason` is CamelCase, `message` has the remedy."""

    reason: str
    message: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Engine to front, its last word: a step failed, and the process ends."""

    message: str


class Stats(msgspec.Struct, frozen=True, tag=True):
    """Engine to front, at most once a step and at least once a second: gauges and running totals.

    `num_coalesced`: requests answered by another one's run. `num_pages_saved`: pages that tables share now
    beyond their first holder. `num_pages_copied`: partial pages copied because a fork wrote to them.
    `step_tokens`, `step_s`: what the latest step computed, prompt and answer tokens together, and its time.
    """

    num_running: int = 0
    num_waiting: int = 0
    num_pages_used: int = 0
    num_pages_cached: int = 0
    num_preemptions: int = 0
    prefix_queries_tokens: int = 0
    prefix_hits_tokens: int = 0
    num_steps: int = 0
    num_coalesced: int = 0
    num_pages_saved: int = 0
    num_pages_copied: int = 0
    step_tokens: int = 0
    step_s: float = 0.0


ToEngine = Submit | Abort
FromEngine = Tokens | Refused | Loaded | LoadFailed | Failed | Stats
