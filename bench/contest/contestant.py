"""Who takes part in a contest."""

import time
from collections.abc import Sequence
from typing import Protocol

from bench.contest.workload import Answers, Request


class Absent(Exception):
    """A contestant cannot take part; the message says why."""


class Contestant(Protocol):
    """Somebody who answers requests greedily, all of them at once, past the end of text."""

    def __call__(self, requests: Sequence[Request]) -> Answers: ...

    def cpu_s(self) -> float:
        """Processor time used so far."""
        ...


class InProcess:
    """A contestant that computes in this process."""

    def cpu_s(self) -> float:
        """Processor time used so far."""
        return time.process_time()
