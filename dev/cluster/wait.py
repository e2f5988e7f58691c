"""Waiting for something outside this process: poll, with a deadline."""

import time
from collections.abc import Callable

from dev.failure import Failure

POLL_S = 0.1


def until(true: Callable[[], bool], what: str, deadline_s: float, remedy: Callable[[], str] = str) -> None:
    """Returns as soon as `true()` holds.

    Raises:
        Failure: it did not within `deadline_s`; `remedy` is asked then for what to do.
    """
    give_up_at = time.monotonic() + deadline_s
    while not true():
        if time.monotonic() > give_up_at:
            raise Failure(f"{what}: not within {deadline_s:.0f} s", remedy())
        time.sleep(POLL_S)
