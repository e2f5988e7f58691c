"""Workloads for benches in virtual time: recorded ones, and made ones for who has no record."""

import csv
import dataclasses
import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from tests.support.paper_replay import Arrival

EXPECTED = (
    "expected Azure's CSV with TIMESTAMP (like 2023-11-16 18:15:46.68), ContextTokens and GeneratedTokens, "
    'or Mooncake\'s lines of JSON with "timestamp" (milliseconds), "input_length" and "output_length"'
)


class BadTrace(ValueError):
    """A file that holds no such trace; the message says where and what is expected."""


def recorded(path: Path, most: int | None = None) -> list[Arrival]:
    """The first `most` of a trace of Azure's (CSV) or Mooncake's (JSON a line); begins at moment 0.

    Raises:
        BadTrace: see there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadTrace(f"{path} cannot be read as text ({error}); {EXPECTED}") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    parse: Callable[[str], Arrival] = _mooncake
    if lines and not lines[0][1].lstrip().startswith("{"):
        try:
            parse = _azure(lines.pop(0)[1])
        except csv.Error as error:
            raise BadTrace(f"{path} begins with no header: {error!r}; {EXPECTED}") from error
    arrivals = []
    for number, line in lines[:most]:
        try:
            arrivals.append(parse(line))
        except (csv.Error, KeyError, OverflowError, TypeError, ValueError) as error:
            raise BadTrace(f"{path}, line {number}: {error!r}; {EXPECTED}") from error
    if not arrivals:
        raise BadTrace(f"{path} has no rows; {EXPECTED}")
    arrivals.sort(key=lambda arrival: (arrival.at, arrival.num_prompt_tokens, arrival.num_answer_tokens))
    first_at = arrivals[0].at
    return [dataclasses.replace(arrival, at=arrival.at - first_at) for arrival in arrivals]


def _azure(head: str) -> Callable[[str], Arrival]:
    (columns,) = csv.reader([head])

    def parse(line: str) -> Arrival:
        row = dict(zip(columns, next(csv.reader([line])), strict=False))
        at = datetime.fromisoformat(row["TIMESTAMP"]).timestamp()
        return _arrival(at, int(row["ContextTokens"]), int(row["GeneratedTokens"]))

    return parse


def _mooncake(line: str) -> Arrival:
    row = json.loads(line)
    return _arrival(float(row["timestamp"]) / 1e3, int(row["input_length"]), int(row["output_length"]))


def _arrival(at: float, num_in: int, num_out: int) -> Arrival:
    return Arrival(at, max(1, num_in), max(1, num_out))


def made(count: int, generator: random.Random) -> list[Arrival]:
    """Poisson arrivals, one a second; log-normal lengths, medians 500 in and 100 out."""
    moments = poisson(1.0, generator)
    return [Arrival(next(moments), *_lengths(generator)) for _ in range(count)]


def poisson(rate: float, generator: random.Random) -> Iterator[float]:
    """Moments of arrivals, `rate` a second."""
    at = 0.0
    while True:
        at += generator.expovariate(rate)
        yield at


def _lengths(generator: random.Random) -> tuple[int, int]:
    num_in, num_out = generator.lognormvariate(6.2, 1.0), generator.lognormvariate(4.6, 0.8)
    return 1 + min(int(num_in), 8000), 1 + min(int(num_out), 1000)
