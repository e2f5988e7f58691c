"""Waiting inside an event loop: ask again until it is so, or fail at a deadline."""

import asyncio
from collections.abc import Callable

from tests.support.poll import NeverHappened


async def until(is_so: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Return once `is_so`; other tasks run in between."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not is_so():
        if loop.time() > deadline:
            raise NeverHappened(f"not so after {within_s:.0f} s")
        await asyncio.sleep(0.005)
