"""Waiting in tests: ask again until it is so, or fail at a deadline and show what was seen last."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NeverHappened(AssertionError):
    """The deadline passed; the message holds what was awaited and what was last seen."""


def until(
    ask: Callable[[], T],
    accept: Callable[[T], object] = bool,
    *,
    what: str,
    within_s: float,
    every_s: float = 0.2,
) -> T:
    """The first answer of `ask` that `accept` finds true.

    An `AssertionError` raised by either is taken as "not yet"; every other exception ends the wait at once.
    """
    deadline = time.monotonic() + within_s
    while True:
        seen: object
        try:
            answer = ask()
            if accept(answer):
                return answer
            seen = answer
        except AssertionError as not_yet:
            seen = not_yet
        if time.monotonic() > deadline:
            raise NeverHappened(f"{what}: not so after {within_s:.0f} s; last seen: {seen!r:.2000}")
        time.sleep(every_s)


def throughout(
    ask: Callable[[], T], accept: Callable[[T], object], *, what: str, for_s: float, every_s: float = 0.2
) -> None:
    """Raise an `AssertionError` with the first answer of `ask` that `accept` does not find true."""
    ends_at = time.monotonic() + for_s
    while time.monotonic() < ends_at:
        answer = ask()
        assert accept(answer), f"{what}: no longer so; seen: {answer!r:.2000}"
        time.sleep(every_s)
