"""One pod manifest from a spec, and the hash that tells drift. Pure.

The template is everything of a pod but its identity: two pods of a pool differ in name, slot and incarnation
only. Its hash is written on the pod beside the version of the hash function, so that a new function restarts
nobody.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract import names, overlay, quantities
from kvring_contract.api import Key
from kvring_contract.names import RingLabel
from kvring_contract.spec import Spec
from kvring_operator import model_volume

HASH_VERSION = "1"
INTERNAL_DIR = "/etc/kvring/internal"
GRACE_AFTER_DRAIN_S = 30
STARTUP_LIMIT_S = 3600
"""Weights of hundreds of gigabytes take their time.

A container that cannot load ends by itself, with a reason.
"""
USER = 65532
GPUS = ("nvidia.com/gpu", "nvidia.com/mig-")
"""How names of whole GPUs, shared ones and slices begin."""


@dataclass(frozen=True)
class Image:
    """What members run."""

    name: str
    pull_policy: str


@dataclass(frozen=True)
class Template:
    """A pod without identity, and its hash."""

    manifest: Mapping[str, Any]
    hash: str


def template(key: Key, spec: Spec, image: Image) -> Template:
    """The pod that each member of the pool runs."""
    meta = spec.template.get("metadata", {})
    pod_spec = _merge(_spec(key, spec, image), spec.template.get("spec", {}))
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "labels": {**meta.get("labels", {}), **_fixed_labels(key)},
            "annotations": dict(meta.get("annotations", {})),
        },
        "spec": pod_spec,
    }
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return Template(manifest, hashlib.sha256(text.encode()).hexdigest()[:12])


def manifest(key: Key, uid: str, of: Template, slot: int, incarnation: int) -> dict[str, Any]:
    """The pod that fills `slot` as its `incarnation`."""
    body = copy.deepcopy(dict(of.manifest))
    meta = body["metadata"]
    body["metadata"] = {
        "name": pod_name(key, slot, incarnation),
        "namespace": key.namespace,
        "labels": meta["labels"] | labels(key, slot, incarnation) | {names.LABEL_TEMPLATE_HASH: of.hash},
        "annotations": meta["annotations"] | {names.ANNOTATION_TEMPLATE_HASH_VERSION: HASH_VERSION},
        "ownerReferences": [owner_reference(key, uid)],
    }
    return body


def labels(key: Key, slot: int, incarnation: int) -> dict[str, str]:
    """Labels that follow from a pod's name, and the one it is born with."""
    return {
        **_fixed_labels(key),
        names.LABEL_SLOT: str(slot),
        names.LABEL_INCARNATION: str(incarnation),
        names.LABEL_RING: RingLabel.SERVING.value,
    }


def pod_name(key: Key, slot: int, incarnation: int) -> str:
    """`<cluster>-<slot>-<incarnation>`: deterministic, so a repeated creation finds the first one."""
    return f"{key.name}-{slot}-{incarnation}"


def owner_reference(key: Key, uid: str) -> dict[str, Any]:
    """Ties a child to its InferenceCluster: the garbage collector takes it along."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": key.name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _fixed_labels(key: Key) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "kvring-node",
        "app.kubernetes.io/instance": key.name,
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
        names.LABEL_CLUSTER: key.name,
        names.LABEL_RANK: "0",
    }


def _spec(key: Key, spec: Spec, image: Image) -> dict[str, Any]:
    volume = model_volume.choose(spec.model.uri, spec.model.revision)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "readinessGates": [{"conditionType": names.READINESS_GATE}],
        "restartPolicy": "Always",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": int(spec.drain.timeout_s) + GRACE_AFTER_DRAIN_S,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {names.LABEL_CLUSTER: key.name}},
            }
        ],
        "containers": [_container(spec, image, volume)],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {
                "name": "internal",
                "secret": {"secretName": secret_name(key), "defaultMode": 0o440},
            },
            *volume.volumes,
        ],
    }


def _container(spec: Spec, image: Image, volume: model_volume.ModelVolume) -> dict[str, Any]:
    resources = {"requests": dict(spec.resources.requests), "limits": dict(spec.resources.limits)}
    return {
        "name": names.CONTAINER,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "args": _flags(spec, volume),
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108  # an emptyDir: the root file system is read-only
            {"name": "KVRING_NUM_THREADS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            # Whoever asks for a GPU gets it or is told; KVRING_DEVICE in the overlay allows another device.
            *([{"name": "KVRING_DEVICE", "value": "cuda"}] if _asks_for_gpu(spec) else ()),
        ],
        "ports": [{"name": "http", "containerPort": names.NODE_PORT}],
        "resources": {kind: amounts for kind, amounts in resources.items() if amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": _probe("/ready", period_s=1, failures=STARTUP_LIMIT_S),
        "readinessProbe": _probe("/ready", period_s=2, failures=2),
        "livenessProbe": _probe("/health", period_s=10, failures=6),
        "terminationMessagePath": names.TERMINATION_LOG,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # the same emptyDir
            {"name": "internal", "mountPath": INTERNAL_DIR, "readOnly": True},
            *volume.mounts,
        ],
    }


def _asks_for_gpu(spec: Spec) -> bool:
    limits = spec.resources.limits.items()
    return any(name.startswith(GPUS) and quantities.parse_amount(amount) > 0 for name, amount in limits)


def secret_name(key: Key) -> str:
    """The Secret with the key that signs the pool's internal calls."""
    return f"{key.name}-internal"


def _flags(spec: Spec, volume: model_volume.ModelVolume) -> list[str]:
    flags = {
        "--model": volume.model,
        "--served-name": spec.model.served_name,
        "--dtype": spec.model.dtype.value,
        "--max-model-len": spec.model.max_model_len,
        "--page-tokens": spec.cache.page_tokens,
        "--strategy": spec.scheduling.strategy.value,
        "--max-batch-tokens": spec.scheduling.max_batch_tokens,
        "--max-sequences": spec.scheduling.max_sequences,
        "--cache-bytes": spec.cache.size.initial_bytes,
        "--internal-key-file": f"{INTERNAL_DIR}/{names.INTERNAL_KEY_FILE}",
        "--grace-s": int(spec.drain.timeout_s),
    }
    given = ((flag, str(value)) for flag, value in flags.items() if value is not None)
    return [word for pair in given for word in pair] + list(volume.flags)


def _probe(path: str, *, period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _merge(ours: dict[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The overlay's fields over ours.

    Shared lists grow, `containers` meets ours by name, the rest replaces.
    """
    merged = dict(ours)
    for name, value in theirs.items():
        if name == "containers":
            merged[name] = _merge_containers(ours[name], value)
        elif name in overlay.SHARED:
            merged[name] = [*ours.get(name, ()), *value]
        else:
            merged[name] = value
    return merged


def _merge_containers(ours: list[dict[str, Any]], theirs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Our container with the overlay's env, mounts and single fields.

    Containers of other names stand beside it.
    """
    merged = dict(ours[0])
    others = []
    for container in theirs:
        if container["name"] != names.CONTAINER:
            others.append(dict(container))
            continue
        given = {variable["name"] for variable in container.get("env", ())}
        merged["env"] = [variable for variable in merged["env"] if variable["name"] not in given]
        for name, value in container.items():
            merged[name] = [*merged[name], *value] if name in ("env", "volumeMounts") else value
    return [merged, *others]
