"""The engine: takes requests, and in each step computes a batch and says what came of it."""

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from typing import NamedTuple

from kvring_node import batch
from kvring_node.batch import Batch, Drawn
from kvring_node.engine import admission, completions
from kvring_node.engine.completions import Completion, Piece, Prompts, Reading
from kvring_node.engine.inflight import InFlight
from kvring_node.engine.ports import Codec, Grammars, Prepared, Runner
from kvring_node.engine.scheduler import Advance, Scheduler
from kvring_node.messages import Loaded, Refused, SamplingParams, Stats, Submit, Tokens
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex


@dataclass(frozen=True)
class Parts:
    """What an engine is made of; `assembly` joins it."""

    loaded: Loaded
    model: admission.Model
    pool: PagePool
    prefix: PrefixIndex
    scheduler: Scheduler
    runner: Runner
    codec: Codec
    clock: Callable[[], float]


class _Step(NamedTuple):
    """A step that was computed; the first has the number 1."""

    number: int
    num_tokens: int
    took_s: float


class Engine:
    """One model, many requests. Not thread-safe: one loop calls `add`, `abort` and `step`."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._scheduler = parts.scheduler
        self._runner = parts.runner
        self._in_flight = InFlight()
        self._unsaid: list[Tokens] = []
        self._latest = _Step(0, 0, 0.0)

    @property
    def loaded(self) -> Loaded:
        """What there is to know about the loaded model."""
        return self._parts.loaded

    @property
    def has_work(self) -> bool:
        """Whether a step would compute or say anything."""
        return self._scheduler.num_running > 0 or self._scheduler.num_waiting > 0 or bool(self._unsaid)

    @property
    def grammars(self) -> Grammars:
        """The forms of its model, for who prepares them."""
        return self._parts.model.grammars

    def add(self, request: Submit, prepared: Prepared | None = None) -> Refused | None:
        """Takes a request in, or says why it can never run.

        Its form is `prepared`, or started now: that may take a second.

        Raises:
            ValueError: a request of this id is running.
        """
        if request.request_id in self._in_flight:
            raise ValueError(f"request {request.request_id} is running")
        try:
            said = self._in_flight.join(request)
            sequences = (
                [] if said else admission.sequences(request, self._parts.model, self._parts.clock(), prepared)
            )
        except admission.Unfit as error:
            return Refused(request.request_id, str(error), error.param)
        except Exception as error:  # nothing has changed: whatever this fell over, the others run on
            return Refused(request.request_id, f"the engine cannot take this request: {error!r}", "prompt")
        if said is None:
            self._in_flight.start(request, sequences)
            self._scheduler.add(sequences[0])
        elif said.token_ids:
            self._unsaid.append(said)
        return None

    def abort(self, request_id: str, index: int | None = None) -> None:
        """Forgets a request and frees its pages at once; nothing more is said about it.

        With an `index` this answer alone, one that has begun.
        """
        for sequence in self._in_flight.leave(request_id, index):
            self._scheduler.cancel(sequence)
        self._unsaid = [message for message in self._unsaid if message.request_id != request_id]

    def abort_all(self) -> None:
        """The same for every request."""
        for request_id in self._in_flight.request_ids:
            self.abort(request_id)

    def step(self) -> list[Tokens]:
        """Computes one batch: schedule, run, commit, emit. Does nothing when there is no work."""
        started_at = self._parts.clock()
        chunks = self._scheduler.schedule(started_at)
        if not chunks:
            return self._emit([])
        work = batch.make(chunks, self._scheduler.take_copies())
        drawn = self._run(work)
        took_s = self._parts.clock() - started_at
        advances = self._scheduler.commit(chunks, drawn, took_s)
        self._latest = _Step(self._latest.number + 1, len(work.token_ids), took_s)
        return self._emit(advances)

    def generate(
        self, prompts: Prompts, params: SamplingParams, *, stop: Ordered[str] = ()
    ) -> list[Completion]:
        """Answers to one prompt or many, computed together, in their order; `n` for each.

        Raises:
            ValueError: a prompt that can never run, with the reason.
        """
        reading = self.read(prompts, params, stop)
        return reading.completions(completions.stream(self, reading))

    def stream(self, prompts: Prompts, params: SamplingParams, *, stop: Ordered[str] = ()) -> Iterator[Piece]:
        """The same, piece by piece as they come; stop iterating to abort the rest. Raises as `generate`."""
        return completions.stream(self, self.read(prompts, params, stop))

    def read(
        self, prompts: Prompts, params: SamplingParams, stop: Ordered[str] = (), name: str = "call"
    ) -> Reading:
        """The requests of one call, for who turns the engine; `name` tells it from other calls."""
        return Reading(self._parts.codec, prompts, params, stop, name)

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
            num_steps=self._latest.number,
            step_tokens=self._latest.num_tokens,
            step_s=self._latest.took_s,
            num_coalesced=self._in_flight.num_coalesced,
            num_pages_saved=self._parts.pool.num_saved,
            num_pages_copied=self._scheduler.num_pages_copied,
        )

    def forget_prefixes(self) -> None:
        """Lets no later request find a page computed until now; what runs goes on."""
        self._parts.pool.forget()

    def check(self) -> None:
        """Verifies every invariant of pages and page tables.

        Raises:
            AssertionError: naming the invariant that is broken.
        """
        self._scheduler.check()

    def _run(self, work: Batch) -> Drawn:
        try:
            return self._runner.run(work)
        except BaseException:  # Ctrl-C in a notebook, say; the caller may go on
            self._scheduler.abandon()
            raise

    def _emit(self, advances: list[Advance]) -> list[Tokens]:
        """What followers were still to be told first: they joined before these tokens came."""
        said, self._unsaid = self._unsaid, []
        for advance in advances:
            said += self._in_flight.tell(advance)
        return said
