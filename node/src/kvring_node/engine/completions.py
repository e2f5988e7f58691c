"""Prompts in, text out, for an engine that lives in the caller's own process.

`Reading` is what all callers share: it makes the requests of one call and puts their answers together.
`stream` turns the engine itself; `asynchronous` reads what a thread turns.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import msgspec

from kvring_node.engine.ports import Codec
from kvring_node.engine.wording import Wording
from kvring_node.messages import FinishReason, Refused, SamplingParams, Submit, TokenLogprobs, Tokens

Prompt = str | list[int]
"""Text, or the token ids that somebody made of it."""
Prompts = Prompt | Sequence[Prompt]
"""One or many."""


@dataclass(frozen=True)
class Piece:
    """What came at once of an answer to prompt number `index`; its last one has a finish reason.

    `answer` counts the answers to one prompt, of which there are `n`. `logprobs` has one for each of
    `token_ids` and `prompt_logprobs`, with a prompt's first pieces, one for each of its tokens but the first,
    where they were asked for.
    """

    index: int
    answer: int
    text: str
    token_ids: list[int]
    num_cached_tokens: int
    finish_reason: FinishReason | None
    logprobs: list[TokenLogprobs] | None = None
    prompt_logprobs: list[TokenLogprobs] | None = None


@dataclass(frozen=True)
class Completion:
    """A whole answer to one prompt; see `Piece`."""

    text: str
    token_ids: list[int]
    num_prompt_tokens: int
    num_cached_tokens: int
    finish_reason: FinishReason
    logprobs: list[TokenLogprobs] | None = None
    prompt_logprobs: list[TokenLogprobs] | None = None


@dataclass
class _Asked:
    """One prompt: its answers that have not ended."""

    index: int
    answers: dict[int, Wording] = field(default_factory=dict)


class Reading:
    """The requests of one call, and their answers in the making.

    Attributes:
        submits: the requests, in the order of the prompts.
    """

    def __init__(
        self, codec: Codec, prompts: Prompts, params: SamplingParams, stop: Sequence[str], name: str = "call"
    ) -> None:
        """`name` tells this call from others that the engine serves at the same time.

        Raises:
            ValueError: something of the wrong type, which could fail the step of all who share the engine.
        """
        params, stop = _checked(params), _texts(stop)
        self._num_answers = params.n
        self._asked: dict[str, _Asked] = {}
        self.submits: list[Submit] = []
        for index, prompt in enumerate(_many(prompts)):
            token_ids = codec.encode(prompt) if isinstance(prompt, str) else _ids(prompt, index)
            submit = Submit(request_id=f"{name}-{index}", prompt_token_ids=token_ids, params=params)
            wordings = {
                answer: Wording(codec.detokenizer(token_ids), stop, min_tokens=params.min_tokens)
                for answer in range(params.n)
            }
            self._asked[submit.request_id] = _Asked(index, wordings)
            self.submits.append(submit)

    @property
    def is_open(self) -> bool:
        """Whether any answer is still to come."""
        return bool(self._asked)

    def refuse(self, refused: Refused) -> ValueError:
        """A prompt that can never run, as the error that its caller gets."""
        index = self._asked.pop(refused.request_id).index
        return ValueError(f"prompt {index}: {refused.message}")

    def take(self, message: Tokens) -> Piece | None:
        """What a message says; None when a stop string has ended that answer before."""
        asked = self._asked.get(message.request_id)
        wording = asked.answers.get(message.index) if asked else None
        if asked is None or wording is None:
            return None
        said = wording.push(message.token_ids, message.finish_reason)
        if said.finish_reason is not None:
            del asked.answers[message.index]
            if not asked.answers:
                del self._asked[message.request_id]
        return Piece(
            asked.index,
            message.index,
            said.text,
            message.token_ids[: said.num_tokens],
            message.num_cached_tokens,
            said.finish_reason,
            message.logprobs[: said.num_tokens] if message.logprobs is not None else None,
            message.prompt_logprobs,
        )

    def completions(self, pieces: Iterable[Piece]) -> list[Completion]:
        """All pieces put together: in the order of the prompts, `n` answers for each."""
        num_answers = self._num_answers
        parts: list[list[Piece]] = [[] for _ in range(len(self.submits) * num_answers)]
        for piece in pieces:
            parts[piece.index * num_answers + piece.answer].append(piece)
        return [
            _completion(self.submits[number // num_answers], answer) for number, answer in enumerate(parts)
        ]


class Steps(Protocol):
    """The part of the engine that `stream` turns."""

    @property
    def has_work(self) -> bool:
        """Whether somebody else's requests are in it."""
        ...

    def add(self, request: Submit) -> Refused | None:
        """Takes a request in, or says why it can never run."""
        ...

    def abort(self, request_id: str, index: int | None = None) -> None:
        """Forgets a request, or one answer of it."""
        ...

    def step(self) -> list[Tokens]:
        """Computes one batch."""
        ...


def stream(engine: Steps, reading: Reading) -> Iterator[Piece]:
    """Computes all requests at once and yields pieces as they come; stop iterating to abort the rest.

    Raises:
        ValueError: a prompt that can never run, with the reason.
        RuntimeError: the engine serves another call, whose pieces would be lost.
    """
    if engine.has_work:
        raise RuntimeError("the engine serves another call; end that first, or share it by an AsyncEngine")
    try:
        for submit in reading.submits:
            refused = engine.add(submit)
            if refused is not None:
                raise reading.refuse(refused)
        while reading.is_open:
            for message in engine.step():
                piece = reading.take(message)
                if piece is not None:
                    if is_cut(piece, message):
                        engine.abort(message.request_id, message.index)
                    yield piece
    finally:
        for submit in reading.submits:
            engine.abort(submit.request_id)


def is_cut(piece: Piece, message: Tokens) -> bool:
    """Whether a stop string ended an answer that the engine would go on with."""
    return piece.finish_reason is not None and message.finish_reason is None


def _checked(params: SamplingParams) -> SamplingParams:
    """What the front's requests pass when they are decoded; a caller in Python can write anything."""
    try:
        return msgspec.convert(msgspec.to_builtins(params), SamplingParams)
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(f"sampling parameters: {error}") from error


def _texts(stop: Sequence[str]) -> list[str]:
    """One stop string or many."""
    stops = [stop] if isinstance(stop, str) else list(stop)
    if not all(isinstance(text, str) and text for text in stops):
        raise ValueError(f"stop: {stops!r} must be strings, and none of them empty")
    return stops


def _ids(prompt: Sequence[int], index: int) -> list[int]:
    """Token ids as plain integers, whichever kind of integer they come as."""
    try:
        token_ids = [operator.index(token_id) for token_id in prompt]
    except TypeError as error:
        raise ValueError(f"prompt {index}: send text, or a list of token ids: {error}") from error
    for token_id in token_ids:
        if not 0 <= token_id < 1 << 31:  # more than the tokenizer can be asked about
            raise ValueError(f"prompt {index}: {token_id} is no token id; send those of this model")
    return token_ids


def _many(prompts: Prompts) -> Sequence[Prompt]:
    if isinstance(prompts, str):
        return [prompts]
    is_one = len(prompts) > 0 and not any(isinstance(part, Iterable) for part in prompts)
    return cast("Sequence[Prompt]", [prompts] if is_one else prompts)


def _completion(submit: Submit, pieces: Sequence[Piece]) -> Completion:
    first, last = pieces[0], pieces[-1]
    assert last.finish_reason is not None
    return Completion(
        text="".join(piece.text for piece in pieces),
        token_ids=[token_id for piece in pieces for token_id in piece.token_ids],
        num_prompt_tokens=len(submit.prompt_token_ids),
        num_cached_tokens=last.num_cached_tokens,
        finish_reason=last.finish_reason,
        logprobs=(
            [one for piece in pieces for one in piece.logprobs or ()]
            if submit.params.logprobs is not None
            else None
        ),
        prompt_logprobs=first.prompt_logprobs,
    )
