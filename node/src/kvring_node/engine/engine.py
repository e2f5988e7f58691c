"""The engine: takes requests, and in each step computes a batch and says what came of it."""

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Ordered
from dataclasses import dataclass

from kvring_node import batch
from kvring_node.engine import completions
from kvring_node.engine.completions import Completion, Piece, Prompt
from kvring_node.engine.ports import Codec, Runner
from kvring_node.engine.scheduler import Advance, Scheduler
from kvring_node.messages import Loaded, Refused, SamplingParams, Stats, Submit, Tokens
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.sequence import Sequence


@dataclass(frozen=True)
class Parts:
    """What an engine is made of; `assembly` joins it."""

    loaded: Loaded
    vocab_size: int
    eos_token_ids: frozenset[int]
    pool: PagePool
    prefix: PrefixIndex
    scheduler: Scheduler
    runner: Runner
    codec: Codec
    new_seed: Callable[[], int]


class Engine:
    """One model, many requests. Not thread-safe: one loop calls `add`, `abort` and `step`."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._scheduler = parts.scheduler
        self._runner = parts.runner
        self._num_steps = 0

    @property
    def loaded(self) -> Loaded:
        """What there is to know about the loaded model."""
        return self._parts.loaded

    @property
    def has_work(self) -> bool:
        """Whether a step would compute anything."""
        return self._scheduler.num_running > 0 or self._scheduler.num_waiting > 0

    def add(self, request: Submit) -> Refused | None:
        """Takes a request in, or says why it can never run.

        Raises:
            ValueError: a request of this id is running.
        """
        problem = self._problem(request)
        if problem:
            return Refused(request_id=request.request_id, message=problem)
        self._scheduler.add(self._sequence(request))
        return None

    def abort(self, request_id: str) -> None:
        """Forgets a request and frees its pages at once; nothing more is said about it."""
        self._scheduler.cancel(request_id)

    def step(self) -> list[Tokens]:
        """Computes one batch: schedule, run, commit, emit. Does nothing when there is no work."""
        chunks = self._scheduler.schedule()
        if not chunks:
            return []
        token_ids = self._runner.run(batch.make(chunks))
        advances = self._scheduler.commit(chunks, token_ids)
        self._num_steps += 1
        return [_message(advance) for advance in advances]

    def generate(self, prompts: Ordered[Prompt], params: SamplingParams) -> list[Completion]:
        """Answers to all prompts, computed together, in their order. See `completions.generate`."""
        return completions.generate(self, self._parts.codec, prompts, params)

    def stream(self, prompts: Ordered[Prompt], params: SamplingParams) -> Iterator[Piece]:
        """The same, piece by piece as they come. See `completions.stream`."""
        return completions.stream(self, self._parts.codec, prompts, params)

    def stats(self) -> Stats:
        """Gauges and running totals of this moment."""
        return Stats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting,
            num_pages_used=self._parts.pool.num_used,
            num_pages_cached=self._parts.pool.num_cached,
            num_preemptions=self._scheduler.num_preemptions,
            prefix_queries_tokens=self._parts.prefix.queries_tokens,
            prefix_hits_tokens=self._parts.prefix.hits_tokens,
            num_steps=self._num_steps,
        )

    def forget_prefixes(self) -> None:
        """Lets no later request find a page computed until now; what runs goes on."""
        self._parts.pool.forget()

    def check(self) -> None:
        """Verifies every invariant of the page pool.

        Raises:
            AssertionError: naming the invariant that is broken.
        """
        self._parts.pool.check(self._scheduler.page_tables())

    def _problem(self, request: Submit) -> str | None:
        prompt, params, limit = request.prompt_token_ids, request.params, self.loaded.max_model_len
        if not prompt:
            return "the prompt is empty; send at least one token"
        if len(prompt) >= limit:
            return f"the prompt has {len(prompt)} tokens; send at most {limit - 1}"
        if min(prompt) < 0 or max(prompt) >= self._parts.vocab_size:
            return f"token ids must lie between 0 and {self._parts.vocab_size - 1}"
        if params.max_tokens < 1:
            return "max_tokens must be at least 1"
        if not params.temperature >= 0:
            return "temperature must be 0 or more"
        if not 0 < params.top_p <= 1:
            return "top_p must be above 0 and at most 1"
        return None

    def _sequence(self, request: Submit) -> Sequence:
        params = request.params
        stops = frozenset(params.stop_token_ids)
        num_prompt_tokens = len(request.prompt_token_ids)
        return Sequence(
            sequence_id=request.request_id,
            token_ids=list(request.prompt_token_ids),
            num_prompt_tokens=num_prompt_tokens,
            params=params,
            max_tokens=min(num_prompt_tokens + params.max_tokens, self.loaded.max_model_len),
            stop_token_ids=stops if params.ignore_eos else stops | self._parts.eos_token_ids,
            seed=self._parts.new_seed() if params.seed is None else params.seed,
        )


def _message(advance: Advance) -> Tokens:
    sequence, token_id, finish_reason = advance
    return Tokens(
        request_id=sequence.sequence_id,
        token_ids=[token_id],
        num_cached_tokens=sequence.num_cached_tokens or 0,
        finish_reason=finish_reason,
    )
