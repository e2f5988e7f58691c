"""Workloads for benches in virtual time: recorded ones, and made ones for who has no record."""

import csv
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tests.support.paper_replay import Arrival


def recorded(path: Path, most: int | None = None) -> list[Arrival]:
    """A CSV with TIMESTAMP, ContextTokens, GeneratedTokens, as Azure's LLM traces; begins at moment 0."""
    with path.open(newline="") as file:
        rows = [row for _, row in zip(range(most or 2**31), csv.DictReader(file), strict=False)]
    if not rows:
        raise SystemExit(f"{path} has no rows")
    moments = [datetime.fromisoformat(row["TIMESTAMP"]).timestamp() for row in rows]
    lengths = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in rows]
    return [
        Arrival(at - min(moments), max(1, num_in), max(1, num_out))
        for at, (num_in, num_out) in sorted(zip(moments, lengths, strict=True))
    ]


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
