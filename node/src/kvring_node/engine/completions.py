"""Prompts in, text out: the loop around an engine that lives in the caller's own process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kvring_node.engine.ports import Codec, TextStream
from kvring_node.messages import FinishReason, Refused, SamplingParams, Submit, Tokens

Prompt = str | list[int]
"""Text, or the token ids that somebody made of it."""


@dataclass(frozen=True)
class Piece:
    """What one step added to an answer to prompt number `index`; its last one has a finish reason.

    `answer` counts the answers to one prompt, of which there are `n`.
    """

    index: int
    answer: int
    text: str
    token_ids: list[int]
    num_cached_tokens: int
    finish_reason: FinishReason | None


@dataclass(frozen=True)
class Completion:
    """The whole answer to one prompt."""

    text: str
    token_ids: list[int]
    num_prompt_tokens: int
    num_cached_tokens: int
    finish_reason: FinishReason


class Steps(Protocol):
    """The part of the engine that the loop turns."""

    def add(self, request: Submit) -> Refused | None:
        """Takes a request in, or says why it can never run."""
        ...

    def abort(self, request_id: str) -> None:
        """Forgets a request."""
        ...

    def step(self) -> list[Tokens]:
        """Computes one batch."""
        ...


def stream(engine: Steps, codec: Codec, prompts: Sequence[Prompt], params: SamplingParams) -> Iterator[Piece]:
    """Generates for all prompts at once and yields pieces as they come; stop iterating to abort the rest.

    Raises:
        ValueError: a prompt that can never run, with the reason.
    """
    indexes: dict[str, int] = {}
    streams = [[codec.detokenizer() for _ in range(params.n)] for _ in prompts]
    try:
        for index, prompt in enumerate(prompts):
            request_id = f"prompt-{index}"
            refused = engine.add(
                Submit(request_id=request_id, prompt_token_ids=encode(codec, prompt), params=params)
            )
            if refused is not None:
                raise ValueError(f"prompt {index}: {refused.message}")
            indexes[request_id] = index
        while indexes:
            for message in engine.step():
                index = indexes[message.request_id]
                yield _piece(message, index, streams[index][message.index])
                if message.is_last:
                    del indexes[message.request_id]
    finally:
        for request_id in indexes:
            engine.abort(request_id)


def generate(
    engine: Steps, codec: Codec, prompts: Sequence[Prompt], params: SamplingParams
) -> list[Completion]:
    """Generates for all prompts at once; answers in the order of the prompts, `n` for each.

    Raises:
        ValueError: a prompt that can never run, with the reason.
    """
    encoded = [encode(codec, prompt) for prompt in prompts]
    pieces: list[list[Piece]] = [[] for _ in range(len(prompts) * params.n)]
    for piece in stream(engine, codec, encoded, params):
        pieces[piece.index * params.n + piece.answer].append(piece)
    return [_completion(encoded[number // params.n], parts) for number, parts in enumerate(pieces)]


def encode(codec: Codec, prompt: Prompt) -> list[int]:
    """Token ids of a prompt of either kind."""
    return codec.encode(prompt) if isinstance(prompt, str) else prompt


def _piece(message: Tokens, index: int, stream: TextStream) -> Piece:
    text = stream.push(message.token_ids)
    if message.finish_reason is not None:
        text += stream.flush()
    return Piece(
        index, message.index, text, message.token_ids, message.num_cached_tokens, message.finish_reason
    )


def _completion(prompt: list[int], pieces: Sequence[Piece]) -> Completion:
    last = pieces[-1]
    assert last.finish_reason is not None
    return Completion(
        text="".join(piece.text for piece in pieces),
        token_ids=[token_id for piece in pieces for token_id in piece.token_ids],
        num_prompt_tokens=len(prompt),
        num_cached_tokens=last.num_cached_tokens,
        finish_reason=last.finish_reason,
    )
