"""Workloads for benches in virtual time: recorded ones, and made ones for who has no record."""

import csv
import dataclasses
import itertools
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tests.support.paper_replay import Arrival

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class BadTrace(ValueError):
    """A file that holds no such trace; the message says where and what is expected."""


def recorded(path: Path, most: int | None = None) -> list[Arrival]:
    """A CSV with TIMESTAMP, ContextTokens, GeneratedTokens, as Azure's LLM traces; begins at moment 0.

    Raises:
        BadTrace: see there.
    """
    arrivals = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(itertools.islice(csv.DictReader(file), most), 2):
            try:
                at = datetime.fromisoformat(row["TIMESTAMP"]).timestamp()
                num_in, num_out = int(row["ContextTokens"]), int(row["GeneratedTokens"])
            except (KeyError, TypeError, ValueError) as error:
                raise BadTrace(
                    f"{path}, line {number}: {error!r}; expected the columns {', '.join(COLUMNS)}: a moment "
                    "like 2023-11-16 18:15:46.68, and two numbers"
                ) from error
            arrivals.append(Arrival(at, max(1, num_in), max(1, num_out)))
    if not arrivals:
        raise BadTrace(f"{path} has no rows")
    arrivals.sort(key=lambda arrival: (arrival.at, arrival.num_prompt_tokens, arrival.num_answer_tokens))
    first_at = arrivals[0].at
    return [dataclasses.replace(arrival, at=arrival.at - first_at) for arrival in arrivals]


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
