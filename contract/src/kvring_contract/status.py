"""`status` of an InferenceCluster: what the operator reports, and its JSON.

Fields of `crds/inferenceclusters.yaml` whose part does not exist in this release (replication, migration,
pressure, lastResize) have no value here either, so they are absent from the status and not wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract import names, quantities


@dataclass(frozen=True)
class Condition:
    """One law about the resource. `status` is True, False or Unknown; `last_transition_at` is RFC 3339."""

    type: names.Condition
    status: str
    reason: str
    message: str
    observed_generation: int
    last_transition_at: str


@dataclass(frozen=True)
class Ring:
    """The membership that nodes were given; `migrating` counts members that are leaving."""

    epoch: int
    checksum: str
    members: int
    migrating: int


@dataclass(frozen=True)
class Cache:
    """Sums over the members. `hit_rate` is the share of prompt tokens found in cache; None without any."""

    hit_rate: float | None
    used_bytes: int
    target_bytes: int


@dataclass(frozen=True)
class Member:
    """One slot, called `<cluster>-<slot>`; `pod` and `machine` are empty while there is none."""

    name: str
    state: names.MemberState
    pod: str
    machine: str
    used_bytes: int
    target_bytes: int


@dataclass(frozen=True)
class Status:
    """Everything that is reported about one InferenceCluster."""

    observed_generation: int
    replicas: int
    wanted_replicas: int
    ready_replicas: int
    replication_factor: int
    selector: str
    served_name: str
    url: str
    ring: Ring
    cache: Cache
    members: tuple[Member, ...]
    conditions: tuple[Condition, ...]


def render(status: Status) -> dict[str, Any]:
    """JSON of `status`, as the API server stores it."""
    return {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "readyReplicas": status.ready_replicas,
        "selector": status.selector,
        "servedName": status.served_name,
        "url": status.url,
        "columns": _columns(status),
        "ring": {
            "epoch": status.ring.epoch,
            "checksum": status.ring.checksum,
            "members": status.ring.members,
            "migrating": status.ring.migrating,
        },
        "cache": _cache(status.cache),
        "members": [_member(member) for member in status.members],
        "conditions": [render_condition(condition) for condition in status.conditions],
    }


def conditions_of(status: Mapping[str, Any]) -> dict[names.Condition, Condition]:
    """Conditions in a stored status, by type; types that this release does not know are left out."""
    known = set(names.Condition)
    return {
        names.Condition(entry["type"]): Condition(
            type=names.Condition(entry["type"]),
            status=entry["status"],
            reason=entry["reason"],
            message=entry.get("message", ""),
            observed_generation=entry.get("observedGeneration", 0),
            last_transition_at=entry["lastTransitionTime"],
        )
        for entry in status.get("conditions", ())
        if entry["type"] in known
    }


def _columns(status: Status) -> dict[str, str]:
    """What `kubectl get` prints: its columns cannot compute, so "2/3" must be stored."""
    hit_rate = status.cache.hit_rate
    copies = min(1, status.ring.members)  # nothing is replicated in this release
    return {
        "ready": f"{status.ready_replicas}/{status.wanted_replicas}",
        "hitPercent": "-" if hit_rate is None else f"{hit_rate:.0%}".removesuffix("%"),
        "replication": f"{copies}/{status.replication_factor}",
        "moving": str(status.ring.migrating),
        "cache": f"{_mebibytes(status.cache.used_bytes)}/{_mebibytes(status.cache.target_bytes)}",
    }


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f}Mi"


def _cache(cache: Cache) -> dict[str, Any]:
    rate = {} if cache.hit_rate is None else {"hitRate": f"{cache.hit_rate:.2f}"}
    return rate | {
        "used": quantities.render_bytes(cache.used_bytes),
        "target": quantities.render_bytes(cache.target_bytes),
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "state": member.state,
        "pod": member.pod,
        "machine": member.machine,
        "used": quantities.render_bytes(member.used_bytes),
        "target": quantities.render_bytes(member.target_bytes),
    }


def render_condition(condition: Condition) -> dict[str, Any]:
    """JSON of one condition."""
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_at,
    }
