"""Files of requests: one JSON object a line, or a list of them."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench import arguments
from bench.contest.workload import Limits, Request, Unfit

EXPECTED = (
    'expected {"prompt": text or list of token ids, "max_tokens": number} or {"messages": [...]}, by itself '
    'or as the "body" of a batch file\'s row; "question", "turns" or "conversations", whose first is asked; '
    'or Mooncake\'s "input_length", "output_length" and "hash_ids" of 512 tokens each'
)
LENGTHS = ("max_tokens", "max_completion_tokens", "output_tokens", "output_length")
UNHEEDED = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "n", "seed", "stop", "stop_token_ids", "min_tokens"}
)
TRACE_PAGE_TOKENS = 512
"""How many tokens one of Mooncake's hash_ids stands for."""


@dataclass(frozen=True)
class Chat:
    """A prompt as messages, for the model's chat template."""

    messages: list[dict[str, Any]]


@dataclass(frozen=True)
class Length:
    """A prompt of which a trace tells only the length, and names of its runs: same name, same tokens."""

    num_tokens: int
    names: list[int]

    def token_ids(self, vocab_size: int) -> list[int]:
        """Random ones, by the names."""
        runs = [np.random.default_rng(name).integers(1, vocab_size, TRACE_PAGE_TOKENS) for name in self.names]
        found: list[int] = np.concatenate(runs)[: self.num_tokens].tolist()
        return found


@dataclass(frozen=True)
class Row:
    """One request; `place` is its file and line."""

    place: str
    prompt: str | list[int] | Chat | Length
    max_tokens: int


def read(path: Path, max_tokens: int, most: int | None = None) -> list[Row]:
    """The rows, or the first `most`; those that do not say how long the answer is get `max_tokens`.

    A file is lines of JSON, or one list. What rows say about sampling is told and not obeyed.

    Raises:
        Unfit: a file that cannot be used; the message names the line and what belongs there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Unfit(f"{path} cannot be read as text ({error}); {EXPECTED}, one a line") from error
    found = list(itertools.islice(_objects(path, text), most))
    if not found:
        raise Unfit(f"{path} has no requests; {EXPECTED}, one a line")
    if unheeded := sorted(UNHEEDED & set().union(*(row for _, row in found))):
        arguments.tell(f"{path}: not obeyed, since everybody answers greedily: {', '.join(unheeded)}")
    return [Row(place, _prompt(place, row), _max_tokens(place, row, max_tokens)) for place, row in found]


def encode(
    rows: Sequence[Row],
    limits: Limits,
    encode_text: Callable[[str], list[int]],
    encode_chat: Callable[[list[dict[str, Any]]], list[int]],
) -> list[Request]:
    """The rows in token ids.

    Raises:
        Unfit: a request that the model cannot take.
    """
    requests = []
    for row in rows:
        try:
            match row.prompt:
                case str(text):
                    prompt = encode_text(text)
                case Chat(messages):
                    prompt = encode_chat(messages)
                case list(token_ids):
                    prompt = token_ids
                case Length() as length:
                    prompt = length.token_ids(limits.vocab_size)
        except ValueError as error:  # the chat template's
            raise Unfit(f"{row.place}: {error}") from error
        request = Request(prompt, row.max_tokens)
        if fault := limits.fault(request):
            raise Unfit(f"{row.place}: {fault}; leave the row out")
        requests.append(request)
    return requests


def _objects(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its place."""
    if text.lstrip().startswith("["):
        for number, row in enumerate(_parsed(str(path), text), 1):
            yield _object(f"{path}, row {number}", row)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{path}, line {number}"
            yield _object(place, _parsed(place, line))


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"character {error.pos + 1}" if error.lineno == 1 else f"line {error.lineno}"
        raise Unfit(f"{place} is not JSON ({error.msg}, {where}); {EXPECTED}") from error


def _object(place: str, row: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(row, dict):
        row = row.get("body", row)
    if not isinstance(row, dict):
        raise Unfit(f"{place} is not an object; {EXPECTED}")
    return place, row


def _prompt(place: str, row: dict[str, Any]) -> str | list[int] | Chat | Length:
    prompt, messages = row.get("prompt", row.get("prompt_token_ids")), row.get("messages")
    match prompt if prompt is not None else _first_turn(row):
        case str(text):
            return text
        case [*token_ids] if all(type(token_id) is int for token_id in token_ids):
            return token_ids
        case Length() as length:
            return length
        case None if isinstance(messages, list) and all(isinstance(one, dict) for one in messages):
            return Chat(messages)
        case None if messages is None:
            raise Unfit(f"{place} has no prompt; {EXPECTED}")
    raise Unfit(f"{place} has a prompt of another kind; {EXPECTED}")


def _first_turn(row: dict[str, Any]) -> Any:
    """What sets of questions, of dialogues and traces have for a prompt."""
    match row:
        case {"question": question}:
            return question
        case {"turns": [first, *_]} | {"conversations": [{"value": first}, *_]}:
            return first
        case {"input_length": int(num_tokens), "hash_ids": [*names]} if 0 < num_tokens <= len(
            names
        ) * TRACE_PAGE_TOKENS and all(type(name) is int and name >= 0 for name in names):
            return Length(num_tokens, names)
    return None


def _max_tokens(place: str, row: dict[str, Any], otherwise: int) -> int:
    for name in LENGTHS:
        value = row.get(name)
        if value is not None:
            if type(value) is not int or value < 1:
                raise Unfit(f"{place} has {name} {json.dumps(value)}; it must be a whole number above 0")
            return value
    return otherwise
