"""From the API server's JSON to frozen views; what nobody decides by is left out, so that it is no change."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from kvring_contract import names
from kvring_contract.api import Key
from kvring_operator import moments, world

LABELS = {
    "cluster": names.LABEL_CLUSTER,
    "slot": names.LABEL_SLOT,
    "incarnation": names.LABEL_INCARNATION,
    "rank": names.LABEL_RANK,
    "ring": names.LABEL_RING,
    "template-hash": names.LABEL_TEMPLATE_HASH,
}
"""Our labels by their short names."""

_LEAVING_TAINTS = {
    "ToBeDeletedByClusterAutoscaler": "the cluster autoscaler removes it",
    "karpenter.sh/disrupted": "Karpenter removes it",
    "karpenter.sh/disruption": "Karpenter removes it",
    "node.kubernetes.io/out-of-service": "it was declared out of service",
    "aws-node-termination-handler/spot-itn": "its spot capacity ends",
    "cloud.google.com/impending-node-termination": "its provider ends it",
}
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_CORDONED = "node.kubernetes.io/unschedulable"
_AWAY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_ZONE = "topology.kubernetes.io/zone"


def pod(body: Mapping[str, Any]) -> world.Pod:
    """View of one pod that an InferenceCluster owns, or that carries our labels."""
    meta, spec, status = body["metadata"], body.get("spec", {}), body.get("status", {})
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    owner = _owner(meta)
    slot, incarnation = identity(meta["name"])
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    containers = _containers(status)
    return world.Pod(
        name=meta["name"],
        uid=meta["uid"],
        owner=Key(meta["namespace"], owner.get("name") or labels.get(names.LABEL_CLUSTER, "")),
        owner_uid=(owner or next(iter(meta.get("ownerReferences") or ()), {})).get("uid", ""),
        slot=slot,
        incarnation=incarnation,
        labels={short: sys.intern(labels[name]) for short, name in LABELS.items() if name in labels},
        template_hash=sys.intern(labels.get(names.LABEL_TEMPLATE_HASH, "")),
        hash_version=sys.intern(notes.get(names.ANNOTATION_TEMPLATE_HASH_VERSION, "")),
        machine=sys.intern(spec.get("nodeName", "")),
        address=status.get("podIP", ""),
        created_at=moments.parse(meta["creationTimestamp"]),
        draining_since=_moment(notes.get(names.ANNOTATION_DRAINING_SINCE)),
        deleting="deletionTimestamp" in meta,
        phase=_phase(status.get("phase", "Pending")),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        container=containers.pop(names.CONTAINER, world.Container()),
        others=tuple(containers.values()),
        gate=_is_true(conditions.get(names.READINESS_GATE)),
        ready=_is_true(conditions.get("Ready")),
        tolerant=any(map(_disregards_trouble, spec.get("tolerations") or ())),
        unschedulable=_unschedulable(conditions.get("PodScheduled", {})),
        resource_version=meta["resourceVersion"],
    )


def identity(name: str) -> tuple[int, int]:
    """Slot and incarnation in a pod's name; (-1, -1) for a name that is none of ours."""
    parts = name.rsplit("-", 2)
    if len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts[1:]):
        return int(parts[1]), int(parts[2])
    return -1, -1


def machine(body: Mapping[str, Any]) -> world.Machine:
    """View of one Kubernetes node."""
    meta, spec = body["metadata"], body.get("spec", {})
    conditions = {entry["type"]: entry for entry in body.get("status", {}).get("conditions") or ()}
    taints = {taint["key"]: taint for taint in spec.get("taints") or ()}
    reasons = [reason for key, reason in _LEAVING_TAINTS.items() if key in taints]
    if spec.get("unschedulable"):
        reasons.append("it is cordoned")
    ready = _is_true(conditions.get("Ready"))
    troubles = [taints[key] for key in (_CORDONED, *_LEAVING_TAINTS) if key in taints]
    began: list[float | None] = [_moment(taint.get("timeAdded")) or 0.0 for taint in troubles]
    began += [] if ready else [_moment(conditions.get("Ready", {}).get("lastTransitionTime"))]
    return world.Machine(
        name=meta["name"],
        ready=ready,
        leaving=reasons[0] if reasons else "",
        since=max((at for at in began if at is not None), default=None),
        out_of_service=_OUT_OF_SERVICE in taints,
        zone=(meta.get("labels") or {}).get(_ZONE, ""),
        resource_version=meta["resourceVersion"],
    )


def child(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Service, ConfigMap or PodDisruptionBudget: what we wrote, without the API server's bookkeeping."""
    meta = {
        key: value
        for key, value in body["metadata"].items()
        if key not in ("managedFields", "resourceVersion")
    }
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": meta}


def _phase(text: str) -> world.Phase:
    """The API server keeps whatever somebody wrote."""
    return world.Phase(text) if text in list(world.Phase) else world.Phase.UNKNOWN


def _moment(text: str | None) -> float | None:
    """A moment that anybody who may edit the pod can have written; None for what is none."""
    try:
        return moments.parse(text) if text else None
    except (ValueError, OverflowError):
        return None


def _owner(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    owners = [entry for entry in meta.get("ownerReferences") or () if entry["kind"] == names.KIND]
    return owners[0] if owners else {}


def _containers(status: Mapping[str, Any]) -> dict[str, world.Container]:
    entries = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return {entry["name"]: _container(entry) for entry in entries}


def _container(entry: Mapping[str, Any]) -> world.Container:
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or last.get("terminated")
    return world.Container(
        name=sys.intern(entry["name"]),
        running="running" in state,
        ready=bool(entry.get("ready")),
        restarts=entry.get("restartCount", 0),
        waiting=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        last_exit=_exit(ended) if ended else None,
    )


def _exit(ended: Mapping[str, Any]) -> world.Exit:
    """The kubelet's reason (OOMKilled) wins.

    `Error` says nothing, so there the container's own last word counts.
    """
    reason, text = ended.get("reason", ""), ended.get("message", "")
    try:
        word = json.loads(text)
        own, message = str(word["reason"]), str(word["message"])
    except (ValueError, TypeError, KeyError):
        own, message = "", text
    return world.Exit(
        ended.get("exitCode", 0), own if own and reason in world.BARE_EXITS else reason, message.strip()
    )


def _unschedulable(scheduled: Mapping[str, Any]) -> str:
    """No room, a scheduling gate that somebody set, or a fault of the scheduler, in its own words."""
    refused = scheduled.get("status") == "False"
    return (scheduled.get("message") or scheduled.get("reason", "")) if refused else ""


def _disregards_trouble(toleration: Mapping[str, Any]) -> bool:
    """Whether it lets a pod onto a machine that is cordoned or away; without a key it is for every taint."""
    named = toleration.get("key") or _CORDONED
    return named in (_CORDONED, *_AWAY) and toleration.get("effect", "") in ("", "NoSchedule")


def _is_true(condition: Mapping[str, Any] | None) -> bool:
    return condition is not None and condition.get("status") == "True"
