"""What stands beside the pods: Services, the ring's ConfigMap, the eviction lock, the pool's Secret. Pure."""

import base64
from collections.abc import Mapping
from typing import Any

from kvring_contract import names
from kvring_contract import ring as rings
from kvring_contract.api import Key
from kvring_contract.names import RingLabel
from kvring_operator.pod import owner_reference, secret_name

LOCK = 1_000_000
"""No pool has so many members: the budget refuses every eviction until the pod's ring label changes. A
percentage, or maxUnavailable, would be computed from `.spec.replicas`, which counts members and not pods."""
EXACT = ("selector", "matchLabels")
"""Maps that must be just ours: one key more selects other pods. Elsewhere what others add is theirs."""


def settled(key: Key, uid: str) -> tuple[dict[str, Any], ...]:
    """The children that never change while the resource lives."""
    return (_service(key, uid), _members_service(key, uid), _lock(key, uid))


def ring_name(key: Key) -> str:
    """The ConfigMap that holds the ring document."""
    return f"{key.name}-ring"


def ring_map(key: Key, uid: str, ring: rings.Ring) -> dict[str, Any]:
    """The ConfigMap with the ring: the truth from which every leader goes on."""
    data = {
        "epoch": str(ring.epoch),
        "checksum": ring.checksum,
        names.RING_DOCUMENT_KEY: rings.dumps(ring),
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(key, uid, ring_name(key)),
        "data": data,
    }


def ring_of(body: Mapping[str, Any]) -> rings.Ring | None:
    """The ring in a stored ConfigMap; None when somebody spoiled it."""
    try:
        return rings.loads((body.get("data") or {}).get(names.RING_DOCUMENT_KEY, ""))
    except rings.InvalidRing:
        return None


def secret(key: Key, uid: str, internal_key: str) -> dict[str, Any]:
    """The Secret with the pool's key."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _meta(key, uid, secret_name(key)),
        "data": {names.INTERNAL_KEY_FILE: base64.b64encode(internal_key.encode()).decode()},
    }


def ours(key: Key, found: Mapping[str, Any]) -> bool:
    """Whether an object that stands under a child's name is this resource's, or was its namesake's.

    Without any owner (restored from a backup) its labels decide.
    """
    owners = found["metadata"].get("ownerReferences") or ()
    if owners:
        return any((owner["kind"], owner["name"]) == (names.KIND, key.name) for owner in owners)
    labels = found["metadata"].get("labels") or {}
    held = labels.get("app.kubernetes.io/managed-by"), labels.get(names.LABEL_CLUSTER)
    return held == (names.FIELD_MANAGER, key.name)


def fits(manifest: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether everything of `manifest` is in the object that was found; additions of others do not matter."""
    return _within(
        {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}, found
    )


def _within(wanted: Any, found: Any, path: str = "") -> bool:
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping) or (path in EXACT and wanted.keys() != found.keys()):
            return False
        return all(name in found and _within(value, found[name], name) for name, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return isinstance(found, list) and all(
            any(_within(item, other) for other in found) for item in wanted
        )
    return bool(wanted == found)


def _service(key: Key, uid: str) -> dict[str, Any]:
    ports = [_port("http", 80), _port("node", names.NODE_PORT)]
    return _service_of(key, uid, key.name, {"ports": ports, "type": "ClusterIP"})


def _members_service(key: Key, uid: str) -> dict[str, Any]:
    """DNS names of members, also of those that are not ready.

    Peers find each other before clients find them.
    """
    return _service_of(
        key,
        uid,
        f"{key.name}-members",
        {"ports": [_port("http", names.NODE_PORT)], "clusterIP": "None", "publishNotReadyAddresses": True},
    )


def _service_of(key: Key, uid: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    selector = {names.LABEL_CLUSTER: key.name, names.LABEL_RANK: "0"}
    meta = _meta(key, uid, name)
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**spec, "selector": selector}}


def _port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "port": port, "targetPort": "http", "protocol": "TCP"}


def _lock(key: Key, uid: str) -> dict[str, Any]:
    locked = {names.LABEL_CLUSTER: key.name, names.LABEL_RING: RingLabel.SERVING.value}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(key, uid, key.name),
        "spec": {"minAvailable": LOCK, "selector": {"matchLabels": locked}},
    }


def _meta(key: Key, uid: str, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": key.namespace,
        "labels": {
            "app.kubernetes.io/name": "kvring-node",
            "app.kubernetes.io/instance": key.name,
            "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
            names.LABEL_CLUSTER: key.name,
        },
        "ownerReferences": [owner_reference(key, uid)],
    }
