"""Who leads: a Lease that one replica holds, and whose transition count fences off the ones before.

The Lease is written with its resourceVersion, so two replicas can never both win. Time that others' clocks
wrote is never compared with ours: a follower waits until the Lease has not changed for its whole duration by
its own monotonic clock. A leader that cannot renew before the Lease would be over stops leading, and the
process ends: what it still had in flight carries an older fencing epoch, which nodes refuse.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from kvring_operator import metrics, moments
from kvring_operator.clock import Clock
from kvring_operator.kube import ApiError, Conflict, Kube, NotFound, Object
from kvring_operator.resources import LEASES

DURATION_S = 15.0
DEADLINE_S = 10.0
PERIOD_S = 2.0
FIRST_MINUTE = 26_297_280
"""Minutes from the Unix epoch to 2020-01-01. A Lease that somebody deleted begins again with the minutes
since then as its transition count: above every count that it may have had, so that nodes still take our
pushes."""

_log = logging.getLogger(__name__)


class LostLease(Exception):
    """This replica leads no longer; the process must end."""


class Elector:
    """Takes part in the election in one namespace."""

    def __init__(self, kube: Kube, clock: Clock, namespace: str, name: str, identity: str) -> None:
        """`name` is the Lease's; `identity` must differ between replicas: the pod's name."""
        self._kube = kube
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lease: Object | None = None
        self._changed_at = clock.monotonic()
        self._renewed_at = float("-inf")

    @property
    def leading(self) -> bool:
        """Whether the Lease was renewed recently enough to act on it."""
        return self._clock.monotonic() - self._renewed_at < DEADLINE_S

    @property
    def fencing(self) -> int:
        """The fencing epoch: the transition count of the Lease."""
        return int(self._spec.get("leaseTransitions", 0))

    def token(self) -> int:
        """The fencing epoch, to be asked for before every write and every push to a node.

        Raises `ApiError` when the Lease may be another's by now, as after a freeze of this process.
        """
        if not self.leading:
            raise ApiError(0, "NotLeading", "the Lease was not renewed in time; another replica may lead")
        return self.fencing

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then run `work` beside its renewal; raises `LostLease` when that fails in time.

        The Lease is released when `work` returns or is cancelled.
        """
        while not await self._try():
            await self._clock.sleep(PERIOD_S)
        metrics.LEADER.set(1)
        metrics.FENCING_EPOCH.set(self.fencing)
        _log.info("leading as %s, fencing epoch %d", self._identity, self.fencing)
        try:
            await work()
        finally:
            metrics.LEADER.set(0)
            await self._release()

    async def renew(self) -> None:
        """Keep the Lease until cancelled; raises `LostLease`."""
        while True:
            await self._clock.sleep(PERIOD_S)
            held = await self._try()
            if not self.leading or (not held and self._holder not in ("", self._identity)):
                self._renewed_at = float("-inf")
                raise LostLease(
                    f"{self._identity} could not renew its Lease; {self._holder or 'nobody'} holds it"
                )

    @property
    def _spec(self) -> dict[str, Any]:
        return self._lease["spec"] if self._lease else {}

    @property
    def _holder(self) -> str:
        return self._spec.get("holderIdentity") or ""

    async def _try(self) -> bool:
        """One attempt to take or renew the Lease."""
        asked_at = self._clock.monotonic()
        try:
            await self._read()
            if not self._may_take():
                return False
            await self._write()
        except Conflict:
            return False
        except ApiError as error:
            _log.warning("Lease %s/%s: %s", self._namespace, self._name, error)
            return False
        self._renewed_at = asked_at
        return True

    async def _read(self) -> None:
        try:
            found: Object | None = await self._kube.get(LEASES, self._namespace, self._name)
        except NotFound:
            found = None
        if found != self._lease:
            self._lease, self._changed_at = found, self._clock.monotonic()

    def _may_take(self) -> bool:
        silent_s = self._clock.monotonic() - self._changed_at
        return self._holder in ("", self._identity) or silent_s >= self._spec.get(
            "leaseDurationSeconds", DURATION_S
        )

    async def _write(self) -> None:
        now = moments.render_micro(self._clock.wall())
        # A restarted container finds its own name on the Lease, and yet is not the process that wrote it.
        mine = self._holder == self._identity and self._renewed_at > float("-inf")
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION_S),
            "acquireTime": self._spec.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": self.fencing if mine else self.fencing + 1,
        }
        if self._lease is None:
            first = int(self._clock.wall() // 60) - FIRST_MINUTE
            self._lease = await self._kube.create(LEASES, self._manifest(spec | {"leaseTransitions": first}))
        else:
            self._lease = await self._kube.replace(LEASES, self._manifest(spec, self._lease["metadata"]))
        self._changed_at = self._clock.monotonic()

    async def _release(self) -> None:
        """Let the next replica begin at once; if that fails, it begins when the Lease is over."""
        self._renewed_at = float("-inf")
        if self._lease is None or self._holder != self._identity:
            return
        spec = self._spec | {"holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._kube.replace(LEASES, self._manifest(spec, self._lease["metadata"]))
        except ApiError as error:
            _log.info("the Lease is left to run out: %s", error)

    def _manifest(self, spec: dict[str, Any], meta: dict[str, Any] | None = None) -> Object:
        kept = {"resourceVersion": meta["resourceVersion"]} if meta else {}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace, **kept},
            "spec": spec,
        }
