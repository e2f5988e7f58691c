"""kopf's part: what becomes of an event."""

import asyncio
import threading
from typing import Any, cast

import kopf
from tests.support import builders
from tests.support.api_double import ApiDouble
from tests.support.poll_async import until

from kvring_contract.api import Key
from kvring_operator import handlers
from kvring_operator.resources import CLUSTERS


async def test_an_event_is_told_in_the_event_loop_and_in_no_thread_beside_it() -> None:
    """The work queue is the loop's alone; kopf gives handlers that are no coroutines a thread."""
    told: list[tuple[Key, int]] = []
    stop = asyncio.Event()
    async with ApiDouble().serve() as api:
        api.put(CLUSTERS, builders.body(1))
        running = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(api.login, lambda key: told.append((key, threading.get_ident()))),
                settings=handlers.settings(),
                identity=cast("Any", "kvring"),
                clusterwide=True,
                stop_flag=stop,
            )
        )
        await until(lambda: bool(told))
        stop.set()
        await running

    assert set(told) == {(builders.KEY, threading.get_ident())}
