"""One request on its way back: from what the engine says to text, stop strings, reasons and counts."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import TracebackType

import msgspec

from kvring_node import messages, prompts
from kvring_node.account import Account
from kvring_node.channel import Arrival, Mailbox
from kvring_node.engine.wording import Wording
from kvring_node.metrics.registry import Metrics


class Piece(msgspec.Struct, frozen=True):
    """What came at once of answer number `index`; the answer's last piece has a finish reason.

    `stop_reason`: the stop string, or the id of the stop token, that ended it. `logprobs`: one for each of
    `token_ids`, where they were asked for.
    """

    index: int
    text: str
    token_ids: list[int]
    finish_reason: messages.FinishReason | None
    stop_reason: str | int | None = None
    logprobs: list[messages.TokenLogprobs] | None = None


@dataclass
class Progress:
    """What is known so far about a request; moments are of the desk's clock.

    `token_ids` are those of all its answers as they came, `finish_reason` is that of the one that ended last.
    """

    submitted_at: float
    scheduled_at: float | None = None
    first_token_at: float | None = None
    num_cached_tokens: int = 0
    token_ids: list[int] = field(default_factory=list)
    finish_reason: messages.FinishReason | None = None
    prompt_logprobs: list[messages.TokenLogprobs] = field(default_factory=list)


class Generation:
    """One request in the engine. A context manager: leaving it early aborts the request at once."""

    def __init__(
        self,
        submit: messages.Submit,
        ask: prompts.Ask,
        tokenizer: prompts.Tokenizer,
        mailbox: Mailbox,
        metrics: Metrics,
        now: float,
        end: Callable[[int], None],
        close: "Callable[[Generation], None]",
    ) -> None:
        """`submit` is on its way to the engine.

        `end` is called for an answer that a stop string ended before the engine, while others go on; `close`
        once, when nobody reads any more.
        """
        self.submit = submit
        self.ask = ask
        self.tokenizer = tokenizer
        self.progress = Progress(now)
        self._mailbox = mailbox
        self._metrics = metrics
        self._end = end
        self._close = close
        # One for each answer that has not ended. A stop string is the front's affair: until the engine has
        # heard that one ended an answer, it goes on, and is not listened to.
        self._open = {
            index: Wording(
                tokenizer.detokenizer(submit.prompt_token_ids),
                ask.stop,
                min_tokens=submit.params.min_tokens,
                keeps_stop=ask.keeps_stop,
            )
            for index in range(submit.params.n)
        }
        self._heard_at: dict[int, float] = {}
        self._num_tokens = [0] * submit.params.n

    def account(self, unfinished: str, now: float) -> Account:
        """What it took and gave; `unfinished` is the reason when an answer has not ended."""
        progress = self.progress
        return Account(
            origin=self.ask.origin,
            submit=self.submit,
            reason=unfinished if self._open else str(progress.finish_reason),
            arrived_at=progress.submitted_at,
            scheduled_at=progress.scheduled_at,
            first_token_at=progress.first_token_at,
            last_token_at=max(self._heard_at.values(), default=None),
            ended_at=now,
            num_cached_tokens=progress.num_cached_tokens,
            answer_tokens=self._num_tokens,
        )

    def __enter__(self) -> "Generation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(self)

    async def begun(self) -> None:
        """Wait for the engine's first word on this request; raises as `pieces` does."""
        self._accept(await self._mailbox.arrived())

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answers as they come. Raises `InvalidAsk` (the engine refuses it) or `EngineGone`."""
        while self._open:
            for piece in self._read(await self._mailbox.take()):
                yield piece

    async def whole(self) -> list[Piece]:
        """Each answer in one piece, in their order; raises as `pieces` does.

        Where no stop string can end them early, they are read only once all is there, which is cheaper.
        """
        if not self.ask.stop:
            pieces = self._read(await self._mailbox.take(wants_all=True))
            return sorted(pieces, key=lambda piece: piece.index)
        parts: list[list[Piece]] = [[] for _ in range(self.submit.params.n)]
        async for piece in self.pieces():
            parts[piece.index].append(piece)
        return [_join(pieces) for pieces in parts]

    def _read(self, arrivals: list[Arrival]) -> list[Piece]:
        said: dict[int, list[messages.Tokens]] = {}
        for at, answer in arrivals:
            tokens = self._note(at, self._accept(answer))
            said.setdefault(tokens.index, []).append(tokens)
        return [self._piece(index, parts) for index, parts in said.items() if index in self._open]

    def _piece(self, index: int, parts: list[messages.Tokens]) -> Piece:
        token_ids = [token_id for part in parts for token_id in part.token_ids]
        text, num_tokens, reason, stop = self._open[index].push(token_ids, parts[-1].finish_reason)
        del token_ids[num_tokens:]
        self.progress.token_ids += token_ids
        self._num_tokens[index] += num_tokens
        logprobs = None
        if self.submit.params.logprobs is not None:
            logprobs = [one for part in parts for one in part.logprobs or ()][:num_tokens]
        if reason is None:
            return Piece(index, text, token_ids, None, None, logprobs)
        del self._open[index]
        if parts[-1].finish_reason is None and self._open:
            self._end(index)
        self.progress.finish_reason = reason
        return Piece(index, text, token_ids, reason, stop or self._stop_token(token_ids, reason), logprobs)

    def _stop_token(self, token_ids: list[int], reason: messages.FinishReason) -> int | None:
        is_asked = reason is messages.FinishReason.STOP and token_ids[-1] in self.submit.params.stop_token_ids
        return token_ids[-1] if is_asked else None

    def _note(self, at: float, tokens: messages.Tokens) -> messages.Tokens:
        progress, metrics, index = self.progress, self._metrics.requests, tokens.index
        if progress.first_token_at is None:
            progress.first_token_at = at
            progress.scheduled_at = max(tokens.first_scheduled_at, progress.submitted_at)
            progress.num_cached_tokens = tokens.num_cached_tokens
            num_prompt_tokens = len(self.submit.prompt_token_ids)
            metrics.begun(at - progress.submitted_at, num_prompt_tokens, tokens.num_cached_tokens)
        if tokens.prompt_logprobs is not None:
            progress.prompt_logprobs = tokens.prompt_logprobs
        if tokens.token_ids:
            before_at = self._heard_at.get(index)
            metrics.tokens(len(tokens.token_ids), None if before_at is None else at - before_at)
        self._heard_at[index] = at
        return tokens

    def _accept(self, answer: messages.Tokens | messages.Refused) -> messages.Tokens:
        if isinstance(answer, messages.Refused):
            raise prompts.InvalidAsk(answer.message, self.ask.field(answer.param), "invalid_value")
        return answer


def _join(pieces: list[Piece]) -> Piece:
    last = pieces[-1]
    return Piece(
        last.index,
        "".join(piece.text for piece in pieces),
        [token_id for piece in pieces for token_id in piece.token_ids],
        last.finish_reason,
        last.stop_reason,
        [one for piece in pieces for one in piece.logprobs or ()] if last.logprobs is not None else None,
    )
