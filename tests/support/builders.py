"""Small worlds in few words, for tests of the operator's pure rooms."""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kvring_contract import api, names, wire
from kvring_contract.names import MemberState, RingLabel
from kvring_contract.ring import Member, Ring
from kvring_operator import children, desire, pod, slots
from kvring_operator.world import Container, Exit, Machine, Phase, Pod, World

NOW = 1_800_000_000.0
IMAGE = pod.Image("kvring/node:1", "IfNotPresent")
KEY = api.Key("default", "chat")
UID = "11111111-1111-1111-1111-111111111111"
READY = Container(running=True, ready=True)


def body(replicas: int = 2, *, name: str = "chat", deleted: bool = False, **spec: Any) -> dict[str, Any]:
    """A resource as the API server gives it."""
    meta: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "10",
        "finalizers": [names.FINALIZER],
    }
    if deleted:
        meta["deletionTimestamp"] = datetime.fromtimestamp(NOW, UTC).isoformat()
    whole = {"replicas": replicas, "model": {"uri": "pvc://models/demo"}, **spec}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": meta, "spec": whole}


def cluster(replicas: int = 2, **fields: Any) -> api.InferenceCluster:
    return api.parse(body(replicas, **fields))


def desired(replicas: int = 2, *, image: pod.Image = IMAGE, **fields: Any) -> desire.Desired:
    return desire.derive(cluster(replicas, **fields), image)


def old_hash() -> str:
    """The template hash of another image than `IMAGE`."""
    return desired(image=pod.Image("kvring/node:0", "IfNotPresent")).template.hash


def member(slot: int, incarnation: int = 1, **changes: Any) -> Pod:
    """A pod of `chat` that is Ready and on the ring; say what is different."""
    template_hash = changes.pop("template_hash", desired().template.hash)
    labels = {
        "cluster": "chat",
        "slot": str(slot),
        "incarnation": str(incarnation),
        "rank": "0",
        "ring": changes.pop("ring", RingLabel.SERVING.value),
        "template-hash": template_hash,
    }
    base = Pod(
        name=f"chat-{slot}-{incarnation}",
        uid=f"uid-{slot}-{incarnation}",
        owner=KEY,
        owner_uid=UID,
        slot=slot,
        incarnation=incarnation,
        labels=labels,
        template_hash=template_hash,
        hash_version=pod.HASH_VERSION,
        machine="m1",
        address=f"10.0.{incarnation}.{slot}",
        created_at=NOW - 600 + incarnation,
        phase=Phase.RUNNING,
        container=READY,
        gate=True,
        ready=True,
        resource_version="100",
    )
    return dataclasses.replace(base, **changes)


def loading(slot: int, incarnation: int = 1, **changes: Any) -> Pod:
    """A pod whose container runs and whose model is not loaded yet."""
    return member(
        slot, incarnation, **{"container": Container(running=True), "gate": False, "ready": False, **changes}
    )


def pending(slot: int, incarnation: int = 1, **changes: Any) -> Pod:
    """A pod that no machine has taken yet."""
    unplaced = {"machine": "", "address": "", "phase": Phase.PENDING, "container": Container()}
    return member(slot, incarnation, **{**unplaced, "gate": False, "ready": False, **changes})


def crashed(slot: int, reason: str, message: str = "", restarts: int = 3, code: int = 1) -> Pod:
    """A pod whose container ended and waits to be started again."""
    container = Container(
        waiting="CrashLoopBackOff", restarts=restarts, last_exit=Exit(code, reason, message)
    )
    return loading(slot, container=container)


def report(of: Pod, ring: Ring | None, **changes: Any) -> wire.NodeReport:
    """What the node of a pod says: loaded, idle, holding `ring`."""
    base = wire.NodeReport(
        pod=of.name,
        loaded=of.container.ready,
        draining=of.leaving,
        fingerprint="f00d",
        fencing=1,
        ring_epoch=ring.epoch if ring else -1,
        ring_checksum=ring.checksum if ring else "",
        num_running=0,
        num_waiting=0,
        cache_used_bytes=0,
        cache_total_bytes=64 << 20,
        prefix_queries_tokens=0,
        prefix_hits_tokens=0,
    )
    return dataclasses.replace(base, **changes)


def ring(*pods: Pod, epoch: int = 3, offline: Iterable[int] = ()) -> Ring:
    """A ring of these pods; those in `offline` slots are."""
    members = tuple(
        Member(
            one.slot,
            one.name,
            one.address,
            one.machine,
            state=MemberState.OFFLINE if one.slot in offline else MemberState.ACTIVE,
        )
        for one in pods
    )
    return Ring(epoch, members, virtual_nodes=256, replication_factor=1)


def machines(*named: Machine) -> dict[str, Machine]:
    """m1 and m2, ready, unless said otherwise."""
    return {name: Machine(name, ready=True) for name in ("m1", "m2")} | {one.name: one for one in named}


def world(
    *pods: Pod,
    on_ring: Ring | None = None,
    reports: Mapping[str, wire.NodeReport] | None = None,
    of: Mapping[str, Any] | None = None,
    **changes: Any,
) -> World:
    """All foundations stand, and every pod on the ring has acknowledged it, unless `reports` says else."""
    meta = api.Metadata.parse(of or body())
    held = on_ring if on_ring is not None else ring(*(one for one in pods if one.ready and one.staying))
    kept = [*children.settled(meta.key, meta.uid), children.ring_map(meta.key, meta.uid, held)]
    told = {one.name: report(one, held) for one in pods if one.container.running}
    base = World(
        metadata=meta,
        pods=tuple(sorted(pods, key=lambda one: (one.slot, one.incarnation))),
        machines=machines(),
        children={(child["kind"], child["metadata"]["name"]): child for child in kept},
        key_present=True,
        ring=held,
        reports=told if reports is None else reports,
        status={"ring": {"epoch": held.epoch, "checksum": held.checksum}},
    )
    return dataclasses.replace(base, **changes)


def layout(found: World, wanted: desire.Desired, now: float = NOW) -> slots.Layout:
    return slots.choose(wanted, found, now)
