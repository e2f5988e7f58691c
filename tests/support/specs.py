"""InferenceClusters for tests: the smallest one, one that sets every field, and any in between."""

from typing import Any

Object = dict[str, Any]

MINIMAL: Object = {"model": {"uri": "pvc://models/demo"}}

EVERY_FIELD: Object = {
    "replicas": 3,
    "model": {
        "uri": "pvc://models/qwen3-0.6b",
        "revision": "v1",
        "servedName": "qwen3-0.6b",
        "dtype": "bfloat16",
        "maxModelLen": 8192,
    },
    "draftModel": {"uri": "pvc://models/qwen3-0.1b"},
    "parallelism": {"tensor": 2, "pipeline": 3},
    "resources": {
        "requests": {"cpu": "1", "memory": "4Gi"},
        "limits": {"memory": "6Gi", "nvidia.com/gpu": 1},
    },
    "cache": {
        "pageTokens": 32,
        "replicationFactor": 2,
        "virtualNodes": 512,
        "eviction": "WTinyLFU",
        "quantization": "Int8",
        "size": {"min": "128Mi", "max": "4Gi", "initial": "1Gi"},
        "semantic": {"policy": "Enabled", "threshold": "0.9", "maxEntries": 500},
    },
    "scheduling": {"strategy": "Fairness", "maxBatchTokens": 4096, "maxSequences": 32},
    "sizing": {"policy": "Auto", "interval": "30s", "reserve": "20%"},
    "drain": {"timeout": "5m", "maxBandwidth": "50Mi", "onTimeout": "Block"},
    "rollout": {"maxSurge": 2, "maxUnavailable": 1},
    "access": {"apiKeysSecret": "chat-keys"},
    "template": {
        "metadata": {"labels": {"team": "search"}, "annotations": {"example.com/note": "x"}},
        "spec": {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "sidecar", "image": "sidecar:1"}]},
    },
}


def cluster(spec: Object | None = None, name: str = "chat", namespace: str = "default") -> Object:
    """A manifest; without a spec the smallest one."""
    return {
        "apiVersion": "kvring.dev/v1alpha1",
        "kind": "InferenceCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": MINIMAL if spec is None else spec,
    }


def changed(path: str, value: object, spec: Object | None = None) -> Object:
    """A copy of a spec with the field at a dotted path set; what leads there is made."""
    head, _, rest = path.partition(".")
    base = MINIMAL if spec is None else spec
    return {**base, head: changed(rest, value, base.get(head, {})) if rest else value}
