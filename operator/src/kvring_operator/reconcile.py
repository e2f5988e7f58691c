"""The one verb: observe -> desire -> plan -> act -> report."""

import hashlib
import logging
import zlib
from collections.abc import Callable
from typing import Any

from kvring_contract import api, names
from kvring_contract.api import Key
from kvring_operator import actions, checks, desire, metrics, moments, plan, pod, report
from kvring_operator.act import Hands, Outcome
from kvring_operator.clock import Clock
from kvring_operator.events import Note
from kvring_operator.kube import AlreadyExists, ApiError, Conflict, Kube, NotFound, Object
from kvring_operator.observe import Observer
from kvring_operator.resources import CLUSTERS, EVENTS
from kvring_operator.workqueue import WorkQueue
from kvring_operator.world import World

RESYNC_S = 60.0
SOON_S = 0.05
REFUSED_RETRY_S = 5.0
"""A refusal (a quota, a policy) is lifted by people, and nobody tells us when."""
SAME_NOTE_S = 600
"""An Event that says the same within this time is dropped by its name."""

_log = logging.getLogger(__name__)


class Reconciler:
    """Visits one resource at a time and brings it a step closer to its spec."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        queue: WorkQueue[Key],
        observer: Observer,
        hands: Hands,
        image: pod.Image,
        fencing: Callable[[], int],
    ) -> None:
        """`image` is what members run; `fencing` raises `ApiError` when another replica may lead by now."""
        self._kube = kube
        self._clock = clock
        self._queue = queue
        self._observer = observer
        self._hands = hands
        self._image = image
        self._fencing = fencing

    async def visit(self, key: Key) -> None:
        """One visit, counted and timed; a failure brings the key back later."""
        metrics.QUEUE_LENGTH.set(len(self._queue))
        started = self._clock.monotonic()
        try:
            wait_s = await self.reconcile(key)
        except ApiError as error:
            delay = self._queue.retry(key)
            level, result = (
                (logging.INFO, "conflict") if isinstance(error, Conflict) else (logging.WARNING, "failed")
            )
            _log.log(level, "%s: %s; again in %.1f s", key, error, delay)
        except Exception:  # a fault of ours, or of an object: it stops no other resource
            delay = self._queue.retry(key)
            _log.exception("%s: this visit broke off; again in %.1f s", key, delay)
            result = "broken"
        else:
            self._queue.forgive(key)
            if wait_s is not None:
                self._queue.add_after(key, wait_s)
            result = "done"
        metrics.RECONCILES.labels(result).inc()
        metrics.RECONCILE_SECONDS.observe(self._clock.monotonic() - started)

    async def reconcile(self, key: Key) -> float | None:
        """One step; returns when to look again at the latest, None for a resource that is gone."""
        try:
            body = await self._kube.get(CLUSTERS, key.namespace, key.name)
        except NotFound:
            return None
        world, internal_key = await self._observer.look(body)
        try:
            cluster = api.parse(body)
        except api.ParseError as why:
            if world.metadata.deletion_at is None:
                await self._write(world, report.invalid(world, why, self._clock.wall()))
                return RESYNC_S
            cluster = _farewell_of(body)
        desired = desire.derive(cluster, self._image)
        now = self._clock.wall()
        step = plan.make(desired, world, now)
        outcome = await self._hands.carry_out(world, step.actions, internal_key)
        await self._note(world, outcome.notes)
        if not any(isinstance(action, actions.RemoveFinalizer) for action in step.actions):
            case = checks.Case(cluster.spec, desired, world, now, outcome.refusals)
            await self._write(world, report.make(case, step))
        if outcome.trouble is not None:
            raise outcome.trouble  # the caches lag behind, or the API server: look again, ever later
        return _wait(key, step, outcome)

    async def _write(self, world: World, made: report.Report) -> None:
        """The status, if it says something new, and the Events that are worth it."""
        key = world.metadata.key
        if made.status != world.status:
            self._fencing()
            change = {"status": _replacing(world.status, made.status)}
            try:
                await self._kube.patch(CLUSTERS, key.namespace, key.name, change, "status")
            except NotFound:
                return
        await self._note(world, made.notes)

    async def _note(self, world: World, notes: tuple[Note, ...]) -> None:
        for note in notes:
            self._fencing()
            try:
                await self._kube.create(EVENTS, _event(world, note, self._clock.wall()))
            except AlreadyExists:
                _log.debug("%s: said already: %s", world.metadata.key, note.message)
            except ApiError as error:
                if error.general:
                    raise
                _log.info("%s: an Event was refused: %s", world.metadata.key, error)


def _replacing(old: Any, new: Any) -> Any:
    """A merge patch that makes `old` into `new`: what vanished is set to null."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    gone = {name: None for name in old if name not in new}
    return gone | {
        name: _replacing(old.get(name), value) for name, value in new.items() if old.get(name) != value
    }


def _wait(key: Key, step: plan.Plan, outcome: Outcome) -> float:
    """Each resource has a resync period of its own, up to a quarter off: they do not come all at once."""
    waits = [RESYNC_S * (0.75 + zlib.crc32(str(key).encode()) % 50 / 100)]
    if step.wait_s is not None:
        waits.append(step.wait_s)
    if outcome.retry:
        waits.append(SOON_S)
    if outcome.refusals:
        waits.append(REFUSED_RETRY_S)
    return min(waits)


def _farewell_of(body: Object) -> api.InferenceCluster:
    """A resource that is going needs no valid spec: a minimal one lets its members leave."""
    spec = {"replicas": 0, "model": {"uri": "file:///gone"}}
    return api.parse({**body, "spec": spec})


def _event(world: World, note: Note, now: float) -> Object:
    key = world.metadata.key
    said = f"{world.metadata.uid}/{note.reason}/{note.message}/{int(now) // SAME_NOTE_S}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{key.name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}",
            "namespace": key.namespace,
        },
        "eventTime": moments.render_micro(now),
        "reportingController": f"{names.GROUP}/operator",
        "reportingInstance": names.FIELD_MANAGER,
        "action": "Reconcile",
        "reason": note.reason,
        "note": note.message[:1024],
        "type": "Warning" if note.warning else "Normal",
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": key.name,
            "namespace": key.namespace,
            "uid": world.metadata.uid,
        },
    }
