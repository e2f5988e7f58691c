"""Files of requests: one JSON object a line."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contest.workload import Limits, Request, Unfit

EXPECTED = (
    'expected {"prompt": text or list of token ids, "max_tokens": number} or {"messages": [...]}, '
    'by itself or as the "body" of a batch file\'s row'
)


@dataclass(frozen=True)
class Chat:
    """A prompt as messages, for the model's chat template."""

    messages: list[dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One request; `place` is its file and line."""

    place: str
    prompt: str | list[int] | Chat
    max_tokens: int


def read(path: Path, max_tokens: int) -> list[Row]:
    """All rows; those that do not say how long the answer is get `max_tokens`.

    Raises:
        Unfit: a file that cannot be used; the message names the line and what belongs there.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = [(f"{path}, line {number}", line) for number, line in enumerate(file, 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise Unfit(f"{path} cannot be read ({error})") from error
    if not lines:
        raise Unfit(f"{path} has no requests; {EXPECTED}, one a line")
    return [_row(place, line, max_tokens) for place, line in lines]


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
        except ValueError as error:  # the chat template's
            raise Unfit(f"{row.place}: {error}") from error
        request = Request(prompt, row.max_tokens)
        if fault := limits.fault(request):
            raise Unfit(f"{row.place}: {fault}")
        requests.append(request)
    return requests


def _row(place: str, line: str, max_tokens: int) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise Unfit(f"{place} is not JSON ({error.msg}, character {error.pos + 1}); {EXPECTED}") from error
    if isinstance(row, dict):
        row = row.get("body", row)
    if not isinstance(row, dict):
        raise Unfit(f"{place} is not an object; {EXPECTED}")
    return Row(place, _prompt(place, row), _max_tokens(place, row, max_tokens))


def _prompt(place: str, row: dict[str, Any]) -> str | list[int] | Chat:
    prompt, messages = row.get("prompt"), row.get("messages")
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and all(type(token_id) is int for token_id in prompt):
        return prompt
    if prompt is None and isinstance(messages, list) and all(isinstance(one, dict) for one in messages):
        return Chat(messages)
    what = "no prompt" if prompt is None and messages is None else "a prompt of another kind"
    raise Unfit(f"{place} has {what}; {EXPECTED}")


def _max_tokens(place: str, row: dict[str, Any], otherwise: int) -> int:
    for name in ("max_tokens", "max_completion_tokens"):
        value = row.get(name)
        if value is not None:
            if type(value) is not int or value < 1:
                raise Unfit(f"{place} has {name} {json.dumps(value)}; it must be a whole number above 0")
            return value
    return otherwise
