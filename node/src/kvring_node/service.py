"""The front desk: a prompt goes in, pieces of text come out; says no when it must.

A request's way: admit (phase, queue), tokenise, check against the model, engine; the rest in `generation`.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from kvring_node import messages, prompts
from kvring_node.account import Account
from kvring_node.channel import EngineChannel, EngineGone
from kvring_node.generation import Generation
from kvring_node.metrics.registry import Metrics


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
        told: Sequence[Callable[[Account], None]],
        *,
        max_open: int,
        drain_lag_s: float,
        max_silence_s: float,
    ) -> None:
        """`told` hear of each request that has ended."""
        self.phase = Phase.LOADING
        self.channel = channel
        self.served: Served | None = None
        self.metrics = metrics
        self._told = (metrics.requests.ended, *told)
        self.clock = clock
        self.max_open = max_open
        self._drain_lag_s = drain_lag_s
        self._max_silence_s = max_silence_s
        self._accepts_until_at = float("inf")
        self.num_open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = asyncio.Event()

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
            self._draining.set()

    def fail(self, error: EngineGone) -> None:
        """The engine has ended: nothing more can be served."""
        self.phase = Phase.FAILED
        self._accepts_until_at = self.clock()
        self.channel.fail(error)

    async def turns_away(self) -> None:
        """Wait until a drain has begun and its lag has passed."""
        await self._draining.wait()
        await self._lag()

    async def drained(self) -> None:
        """Wait until the drain's lag has passed and no request is open."""
        await self._lag()
        await self._idle.wait()

    async def _lag(self) -> None:
        await asyncio.sleep(max(0.0, self._accepts_until_at - self.clock()))

    async def open(self, ask: prompts.Ask) -> Generation:
        """Hand a request to the engine.

        Raises `Unavailable`, `QueueFull` or `InvalidAsk`. The generation must be closed.
        """
        served = self._admit()
        self._enter(ask.params.n)
        try:
            prompt = await prompts.tokenise(served.tokenizer, ask.prompt)
            params = prompts.fit(ask, len(prompt), served.loaded.max_model_len)
            advice = {name: getattr(served.loaded.sampling, name) for name in ask.unsaid}
            params = msgspec.structs.replace(params, **advice)
            submit = messages.Submit(ask.request_id, prompt, params, ask.priority, ask.tenant, ask.deadline_s)
            mailbox = self.channel.submit(submit)
            end = functools.partial(self.channel.end, submit.request_id)
            return Generation(
                submit, ask, served.tokenizer, mailbox, self.metrics, self.clock(), end, self._close
            )
        except BaseException:
            self._leave(ask.params.n)
            raise

    def model(self) -> Served:
        """The model that is there, to be asked about its words; raises `Unavailable`."""
        if self.served is None or self.phase is Phase.FAILED:
            raise Unavailable(f"this node is {self.phase}; try again or ask another one")
        return self.served

    def _close(self, generation: Generation) -> None:
        """Nobody reads it any more: what is left of it need not be computed."""
        submit = generation.submit
        self.channel.abort(submit.request_id)
        unfinished = "error" if self.phase is Phase.FAILED else messages.FinishReason.ABORT
        account = generation.account(unfinished, self.clock())
        for told in self._told:
            told(account)
        self._leave(submit.params.n)

    def _leave(self, num_answers: int) -> None:
        self.num_open -= num_answers
        if self.num_open == 0:
            self._idle.set()

    def _enter(self, num_answers: int) -> None:
        self.num_open += num_answers
        self._idle.clear()

    def _admit(self) -> Served:
        served = self.model()
        if self.phase is Phase.DRAINING and self.clock() >= self._accepts_until_at:
            raise Unavailable(f"this node is {self.phase}; ask another one")
        if self.is_hung:
            raise Unavailable("the engine does not answer; try again or ask another node")
        if self.num_open >= self.max_open:
            raise QueueFull(f"{self.num_open} answers are in the making or wait; try again later")
        return served
