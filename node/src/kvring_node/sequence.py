"""A request inside the engine: its tokens, and how far they are computed."""

from dataclasses import dataclass, field
from enum import Enum, auto

from kvring_contract.keys import Digest
from kvring_node.messages import FinishReason, SamplingParams


class Phase(Enum):
    """Where a sequence stands. Prefill and decode are both RUNNING: they differ in what is left."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(slots=True, eq=False)
class Sequence:
    """Changed by the scheduler (progress) and the page tables (pages) only.

    Attributes:
        token_ids: prompt and generated tokens.
        num_prompt_tokens: how many of them were the prompt.
        max_tokens: length at which it ends: prompt plus what was asked for, within the model's length.
        stop_token_ids: tokens that end it, the model's own included unless they were to be ignored.
        seed: root of its draws.
        num_computed: tokens whose keys and values are in its pages.
        num_cached_tokens: tokens that it did not have to compute when it was first admitted; None before.
        pages: its page table.
        digests: chain of digests of its full pages, as far as they were needed.
        num_sealed: how many of its pages are known to the pool by their digest.
    """

    sequence_id: str
    token_ids: list[int]
    num_prompt_tokens: int
    params: SamplingParams
    max_tokens: int
    stop_token_ids: frozenset[int]
    seed: int
    phase: Phase = Phase.WAITING
    num_computed: int = 0
    num_cached_tokens: int | None = None
    pages: list[int] = field(default_factory=list)
    digests: list[Digest] = field(default_factory=list)
    num_sealed: int = 0

    @property
    def num_generated(self) -> int:
        """Tokens added to the prompt so far."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_uncomputed(self) -> int:
        """Known tokens still to compute: 1 in plain decoding, more in prefill."""
        return len(self.token_ids) - self.num_computed

    def append(self, token_id: int) -> FinishReason | None:
        """Adds a generated token; says why the sequence ends with it, if it does."""
        self.token_ids.append(token_id)
        if token_id in self.stop_token_ids:
            return FinishReason.STOP
        if len(self.token_ids) >= self.max_tokens:
            return FinishReason.LENGTH
        return None
