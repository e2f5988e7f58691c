"""The only place where the parts of a running operator are joined."""

import asyncio
from collections.abc import Awaitable, Callable

from kvring_contract.api import Key
from kvring_operator import pod
from kvring_operator.act import Hands
from kvring_operator.caches import Caches
from kvring_operator.clock import Clock
from kvring_operator.kube import Kube
from kvring_operator.nodes import Nodes
from kvring_operator.observe import Observer
from kvring_operator.reconcile import Reconciler
from kvring_operator.settings import Settings
from kvring_operator.workqueue import WorkQueue

NUM_WORKERS = 16


class Operator:
    """Caches, queue and reconciler of one replica. kopf, or a test, feeds `queue` with keys."""

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        nodes: Nodes,
        clock: Clock,
        fencing: Callable[[], int],
        jitter: Callable[[], float],
    ) -> None:
        """`fencing` tells the epoch under which this replica leads, and raises `ApiError` when it may not.

        `jitter` gives numbers in [0, 1).
        """
        self.queue: WorkQueue[Key] = WorkQueue(clock, jitter)
        self._caches = Caches(kube, clock, settings.watch_namespaces, self.queue.add)
        self._reconciler = Reconciler(
            kube,
            clock,
            self.queue,
            Observer(kube, nodes, self._caches),
            Hands(kube, nodes, self._caches, fencing),
            pod.Image(settings.node_image, settings.node_image_pull_policy),
            fencing,
        )

    async def run(self) -> None:
        """Watch and work until cancelled; nothing is decided before every cache has synced."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._caches.run())
            await self._caches.has_synced()
            group.create_task(self.queue.run(self._reconciler.visit, NUM_WORKERS))


async def until_stopped(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Run `work` until it ends, or cancel it when `stop` is set."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
        return
    working.result()
