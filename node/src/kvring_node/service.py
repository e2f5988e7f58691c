"""The front desk: a prompt goes in, pieces of text come out; says no when it must.

A request's way: admit (phase, queue), tokenise, check against the model, engine, detokenise, stop strings.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType

from kvring_node import messages, prompts, stops
from kvring_node.channel import Arrival, EngineChannel, EngineGone
from kvring_node.metrics import Metrics


class Phase(StrEnum):
    """Where the node stands in its life."""

    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True)
class Served:
    """The model that is there. `created_at` is in seconds since the Unix epoch, as in GET /v1/models."""

    name: str
    tokenizer: prompts.Tokenizer
    loaded: messages.Loaded
    created_at: int


@dataclass(frozen=True)
class Piece:
    """What came at once; the last piece of an answer has a finish reason."""

    text: str
    token_ids: list[int]
    finish_reason: messages.FinishReason | None


class Unavailable(Exception):
    """Not now: loading, draining or failed. Another pod may serve the request."""


class QueueFull(Exception):
    """Too many requests wait already."""


class FrontDesk:
    """Admits requests and accounts for those that are open; owns the node's phase."""

    def __init__(
        self,
        channel: EngineChannel,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        max_open: int,
        drain_lag_s: float,
        max_silence_s: float,
    ) -> None:
        self.phase = Phase.LOADING
        self.channel = channel
        self.served: Served | None = None
        self.metrics = metrics
        self.clock = clock
        self._max_open = max_open
        self._drain_lag_s = drain_lag_s
        self._max_silence_s = max_silence_s
        self._accepts_until_at = float("inf")
        self._num_open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_hung(self) -> bool:
        """Whether the engine, which speaks at every step and every idle second, has long said nothing."""
        return self.served is not None and self.clock() - self.channel.heard_at > self._max_silence_s

    def serve(self, served: Served) -> None:
        """The model is loaded: take requests, unless a drain came first."""
        self.served = served
        if self.phase is Phase.LOADING:
            self.phase = Phase.SERVING

    def drain(self) -> None:
        """Stop being ready. Requests are taken for a short while yet: load balancers learn of it late."""
        if self.phase in (Phase.LOADING, Phase.SERVING):
            lag_s = self._drain_lag_s if self.phase is Phase.SERVING else 0.0
            self.phase = Phase.DRAINING
            self._accepts_until_at = self.clock() + lag_s

    def fail(self, error: EngineGone) -> None:
        """The engine has ended: nothing more can be served."""
        self.phase = Phase.FAILED
        self._accepts_until_at = self.clock()
        self.channel.fail(error)

    async def drained(self) -> None:
        """Wait until the drain's lag has passed and no request is open."""
        await asyncio.sleep(max(0.0, self._accepts_until_at - self.clock()))
        await self._idle.wait()

    async def open(self, ask: prompts.Ask) -> "Generation":
        """Hand a request to the engine.

        Raises `Unavailable`, `QueueFull` or `InvalidAsk`. The generation must be closed.
        """
        served = self._admit()
        self._enter()
        try:
            prompt = await prompts.tokenise(served.tokenizer, ask.prompt)
            params = prompts.fit(ask, len(prompt), served.loaded.max_model_len)
            submit = messages.Submit(ask.request_id, prompt, params, ask.priority)
            return Generation(self, served, submit, stops.StopMatcher(ask.stop))
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """A request that was open is no longer."""
        self._num_open -= 1
        if self._num_open == 0:
            self._idle.set()

    def _enter(self) -> None:
        self._num_open += 1
        self._idle.clear()

    def _admit(self) -> Served:
        late = self.phase is Phase.DRAINING and self.clock() >= self._accepts_until_at
        if self.served is None or late or self.phase is Phase.FAILED:
            raise Unavailable(f"this node is {self.phase}; try again or ask another one")
        if self.is_hung:
            raise Unavailable("the engine does not answer; try again or ask another node")
        if self._num_open >= self._max_open:
            raise QueueFull(f"{self._num_open} requests are running or waiting; try again later")
        return self.served


@dataclass
class Progress:
    """What is known so far about a request; moments are of the desk's clock."""

    submitted_at: float
    first_token_at: float | None = None
    last_token_at: float = 0.0
    num_cached_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)
    finish_reason: messages.FinishReason | None = None


class Generation:
    """One request in the engine. A context manager: leaving it early aborts the request at once."""

    def __init__(
        self, desk: FrontDesk, served: Served, submit: messages.Submit, matcher: stops.StopMatcher
    ) -> None:
        self.submit = submit
        self.progress = Progress(desk.clock())
        self._desk = desk
        self._detokenizer = served.tokenizer.detokenizer()
        self._matcher = matcher
        self._mailbox = desk.channel.submit(submit)

    def __enter__(self) -> "Generation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._desk.channel.abort(self.submit.request_id)
        unfinished = "error" if self._desk.phase is Phase.FAILED else messages.FinishReason.ABORT
        reason = str(self.progress.finish_reason or unfinished)
        self._desk.metrics.finished(self.submit, self.progress, reason, self._desk.clock())
        self._desk.leave()

    async def begun(self) -> None:
        """Wait for the engine's first word on this request; raises as `pieces` does."""
        _accept(await self._mailbox.arrived())

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer as it comes. Raises `InvalidAsk` (the engine refuses it) or `EngineGone`."""
        while self.progress.finish_reason is None:
            yield self._read(await self._mailbox.take())

    async def whole(self) -> Piece:
        """The answer in one piece; raises as `pieces` does.

        Where no stop string can end it early, it is read only once all of it is there, which is cheaper.
        """
        if not self._matcher.stops:
            return self._read(await self._mailbox.take(wants_all=True))
        texts = [piece.text async for piece in self.pieces()]
        return Piece("".join(texts), self.progress.token_ids, self.progress.finish_reason)

    def _read(self, arrivals: list[Arrival]) -> Piece:
        answers = [self._note(at, _accept(answer)) for at, answer in arrivals]
        token_ids = [token_id for answer in answers for token_id in answer.token_ids]
        reason = answers[-1].finish_reason
        # With STOP the last token is the one that the model, or a stop token id, ended with: it has no text.
        text, num_taken = self._show(token_ids[: -1 if reason is messages.FinishReason.STOP else None])
        stopped = self._matcher.matched
        if stopped:
            return self._finish(text, token_ids[:num_taken], messages.FinishReason.STOP)
        if reason is None:
            self.progress.token_ids += token_ids
            return Piece(text, token_ids, None)
        text += self._matcher.push(self._detokenizer.flush())
        if self._matcher.matched:
            return self._finish(text, token_ids, messages.FinishReason.STOP)
        return self._finish(text + self._matcher.flush(), token_ids, reason)

    def _show(self, token_ids: list[int]) -> tuple[str, int]:
        """Their text, and how many of them were needed until a stop string ended it."""
        if not self._matcher.stops:
            return self._detokenizer.push(token_ids), len(token_ids)
        text = ""
        # Token by token, so that what comes after a stop string is neither shown nor counted.
        for num_taken, token_id in enumerate(token_ids, start=1):
            text += self._matcher.push(self._detokenizer.push([token_id]))
            if self._matcher.matched:
                return text, num_taken
        return text, len(token_ids)

    def _finish(self, text: str, token_ids: list[int], reason: messages.FinishReason) -> Piece:
        self.progress.token_ids += token_ids
        self.progress.finish_reason = reason
        return Piece(text, token_ids, reason)

    def _note(self, at: float, answer: messages.Tokens) -> messages.Tokens:
        progress, metrics = self.progress, self._desk.metrics
        if progress.first_token_at is None:
            progress.first_token_at = at
            progress.num_cached_tokens = answer.num_cached_tokens
            metrics.first_tokens(at - progress.submitted_at, len(answer.token_ids))
        elif answer.token_ids:
            metrics.next_tokens(at - progress.last_token_at, len(answer.token_ids))
        progress.last_token_at = at
        return answer


def _accept(answer: messages.Tokens | messages.Refused) -> messages.Tokens:
    if isinstance(answer, messages.Refused):
        raise prompts.InvalidAsk(answer.message, "prompt", "invalid_value")
    return answer
