"""What crosses between the HTTP front and the engine process: msgspec structs over ZeroMQ, and nothing else.

The front tokenises, applies chat templates, detokenises and watches stop strings; the engine sees
token ids only.
"""

from enum import StrEnum

import msgspec


class FinishReason(StrEnum):
    """Why a sequence ended, in the OpenAI API's words; ABORT is the front's, for a client that went away."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to choose tokens. `temperature` 0 is greedy; a `seed` gives one text, alone and in any batch."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Front to engine: a new request. `priority`: lower runs first, as in vLLM; FCFS does not look at it."""

    request_id: str
    prompt_token_ids: list[int]
    params: SamplingParams
    priority: int = 0


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Front to engine: nobody waits for this request any more; give its pages back. It is not answered."""

    request_id: str


class Tokens(msgspec.Struct, frozen=True, tag=True):
    """Engine to front: what one step added to one request. The last message of a request has a finish reason.

    When that is STOP, the last token id is the token that stopped it: counted, and no part of the text.
    """

    request_id: str
    token_ids: list[int]
    num_cached_tokens: int
    finish_reason: FinishReason | None = None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Engine to front: this request cannot run (say, it needs more pages than the pool has)."""

    request_id: str
    message: str


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Engine to front, once: the model is there."""

    fingerprint: str
    device: str
    dtype: str
    max_model_len: int
    page_tokens: int
    num_pages: int
    page_bytes: int


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """Engine to front, then it exits: no model. `reason` is CamelCase, `message` has the remedy."""

    reason: str
    message: str


class Stats(msgspec.Struct, frozen=True, tag=True):
    """Engine to front, at most once a step and at least once a second: gauges and running totals."""

    num_running: int
    num_waiting: int
    num_pages_used: int
    num_pages_cached: int
    num_preemptions: int
    prefix_queries_tokens: int
    prefix_hits_tokens: int
    num_steps: int


ToEngine = Submit | Abort
FromEngine = Tokens | Refused | Loaded | LoadFailed | Stats
