"""One answer in the making: its tokens, and how far they are computed."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kvring_contract.keys import Digest
from kvring_node.messages import FinishReason, SamplingParams, TokenLogprobs


class Phase(Enum):
    """Where a sequence stands. Prefill and decode are both RUNNING: they differ in what is left."""

    UNBORN = auto()  # a sibling, until the prompt that it shares is computed
    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


class GrammarState(Protocol):
    """How far an answer has come in the form that it must have."""

    @property
    def is_lost(self) -> bool:
        """Whether the form had to be given up: it grew too large, and the answer is cut off."""
        ...

    def bitmask(self) -> npt.NDArray[np.int32]:
        """Which tokens may come next: bit `i % 32` of word `i // 32` for token `i`."""
        ...

    def accept(self, token_id: int) -> None:
        """The answer goes on with this token, one that the mask allows."""
        ...

    def fork(self) -> "GrammarState":
        """The same state, to go on by itself."""
        ...


@dataclass(slots=True, eq=False)
class Sequence:
    """Changed by the scheduler (progress) and the page tables (pages) only.

    Attributes:
        request_id: the request that brought it.
        index: number of the answer in its request.
        token_ids: prompt and generated tokens.
        num_prompt_tokens: how many of them were the prompt.
        max_tokens: length at which it ends: prompt plus what was asked for, within the model's length.
        stop_token_ids: tokens that end it, the model's own included unless they were to be ignored.
        seed: root of its draws.
        arrived_at: moment of the engine's clock.
        arrival: how many requests came before its own.
        priority: lower is more important.
        tenant: whose it is.
        deadline_at: moment by which it is wanted; None: whenever.
        grammar: the form of the answer; None: free.
        siblings: further answers to the same prompt; they fork off when it is computed.
        num_computed: tokens whose keys and values are in its pages.
        num_cached_tokens: tokens that it did not have to compute when it was first admitted; None before.
        first_scheduled_at: moment of its first admission; None before.
        pages: its page table.
        digests: chain of digests of its full pages, as far as they were needed.
        num_sealed: how many of its pages are known to the pool by their digest.
        prompt_logprobs: of the prompt's tokens from the second, as far as they were computed.
    """

    request_id: str
    token_ids: list[int]
    num_prompt_tokens: int
    params: SamplingParams
    max_tokens: int
    stop_token_ids: frozenset[int]
    seed: int
    index: int = 0
    arrived_at: float = 0.0
    arrival: int = 0
    priority: int = 0
    tenant: str = ""
    deadline_at: float | None = None
    grammar: GrammarState | None = None
    siblings: "list[Sequence]" = field(default_factory=list)
    phase: Phase = Phase.WAITING
    num_computed: int = 0
    num_cached_tokens: int | None = None
    first_scheduled_at: float | None = None
    pages: list[int] = field(default_factory=list)
    digests: list[Digest] = field(default_factory=list)
    num_sealed: int = 0
    prompt_logprobs: list[TokenLogprobs] = field(default_factory=list)

    @property
    def num_generated(self) -> int:
        """Tokens added to the prompt so far."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_uncomputed(self) -> int:
        """Known tokens still to compute: 1 in plain decoding, more in prefill."""
        return len(self.token_ids) - self.num_computed

    @property
    def scores_prompt(self) -> bool:
        """Whether tokens of the prompt must still be computed only to learn their probabilities."""
        return (
            self.params.prompt_logprobs is not None and len(self.prompt_logprobs) < self.num_prompt_tokens - 1
        )

    def append(self, token_id: int) -> FinishReason | None:
        """Adds a generated token; says why the sequence ends with it, if it does."""
        self.token_ids.append(token_id)
        if self.grammar is not None:
            self.grammar.accept(token_id)
            if self.grammar.is_lost:
                return FinishReason.LENGTH
        if token_id in self.stop_token_ids:
            return FinishReason.STOP
        if len(self.token_ids) >= self.max_tokens:
            return FinishReason.LENGTH
        return None
