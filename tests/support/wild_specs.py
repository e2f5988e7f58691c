"""Specs as hypothesis writes them: mostly right, so that what is wrong is seen alone."""

from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]
Values = st.SearchStrategy[Any]

_ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 300), st.text(max_size=8), st.just([]), st.just({})
)


def _mostly(right: Values, *wrong: object) -> Values:
    """Nearly always what is right; now and then a near miss, or anything."""
    misses = st.sampled_from(wrong) if wrong else _ANYTHING
    return st.integers(0, 59).flatmap(lambda die: {0: misses, 1: _ANYTHING}.get(die, right))


def _between(low: int, high: int) -> Values:
    return _mostly(st.integers(low, high), low - 1, high + 1, str(low), low + 0.5)


def _enum(*values: str) -> Values:
    return _mostly(st.sampled_from(values), values[0].lower(), "", "Other")


def _some_of(fields: dict[str, Values]) -> Values:
    return _mostly(st.fixed_dictionaries({}, optional=fields))


_BYTES = _mostly(
    st.one_of(
        st.integers(2**20, 2**34),
        st.builds("{}{}".format, st.integers(10, 3000), st.sampled_from(["M", "Mi", "G", "Gi"])),
        st.sampled_from(["1.5Gi", "0.5G", ".5Gi", "1.Gi", "16Ti", "1Mi", "1048576", "1024Ki", "007Mi"]),
    ),
    *["1e9", "100m", "-1Gi", "Mi", "1 Gi", "17Ti", "1023Ki", "٣Mi", "512mi", "."],
)
_DURATIONS = _mostly(
    st.one_of(
        st.builds("{}{}".format, st.integers(1, 24), st.sampled_from("smh")),
        st.sampled_from(["1h30m", "1m1s", "0h1s", "86400s", "007s"]),
    ),
    *["24h1s", "0s", "", "s", "1.5s", "90", "1s1m", "-5s", "1ms", "5s\n", "1H", "999999h"],
)
_URIS = _mostly(
    st.one_of(
        st.sampled_from(["pvc://models", "pvc://models/a/b.c", "hf://org/name", "hf://name"]),
        st.sampled_from(["file:///a/b", "oci://r.example/m:1", "oci://m@sha256:0a"]),
        st.from_regex(r"pvc://[a-z](/[a-z._-]{1,4})?", fullmatch=True),
    ),
    *["pvc://Models/a", "pvc://m/../a", "pvc:///a", "pvc://m/a/", "PVC://m/a", "pvc://m/a\n", "pvc://m/ä"],
    *["hf://org/name/x", "hf://", "file://a", "file:///", "oci://", "s3://bucket", "", "pvc:/m", "a" * 600],
)
_AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]),
    _mostly(
        st.sampled_from([0, 1, 4, "500m", "1", "0.5", "4Gi", ".5", "5.", "20u"]),
        *["-1", "1Zi", "+1", "", "1 ", "e3", 0.5, "1e9999"],
    ),
)
_MODEL = st.fixed_dictionaries(
    {"uri": _URIS},
    optional={
        "revision": _mostly(st.sampled_from(["main", "v1.0", "refs/pr/1"]), "-x", "", "a b", "a" * 129),
        "servedName": _mostly(st.sampled_from(["chat", "org/name:1"]), " a", "", "a" * 129),
        "dtype": _enum("auto", "float32", "bfloat16", "float16"),
        "maxModelLen": _between(16, 16_777_216),
    },
)
_CACHE = {
    "pageTokens": _mostly(st.sampled_from([8, 16, 32, 64, 128, 256]), 4, 24, 512),
    "replicationFactor": _between(1, 8),
    "virtualNodes": _between(1, 65_536),
    "eviction": _enum("LRU", "LFU", "FIFO", "WTinyLFU", "Adaptive"),
    "quantization": _enum("None", "Int8", "Int4", "Mixed"),
    "size": _some_of({"min": _BYTES, "max": _BYTES, "initial": _BYTES}),
    "semantic": _some_of(
        {
            "policy": _enum("Disabled", "Enabled"),
            "threshold": _mostly(
                st.sampled_from(["0.85", "0", "1", "1.0"]), "1.1", "0.", ".5", "0.12345", 0.5, 1
            ),
            "maxEntries": _between(1, 10_000_000),
        }
    ),
}


_TEXTS = _mostly(st.sampled_from(["a", "node", "x y", ""]), "a" * 64)
_OBJECTS = _mostly(
    st.lists(st.sampled_from([{}, {"name": "a"}, {"key": None}]), max_size=3), {}, [None], ["a"]
)
_KEYS = st.sampled_from(["team", "a.example/b", "kvring.dev/slot"])
_CONTAINERS = _mostly(
    st.lists(
        st.fixed_dictionaries(
            {"name": _TEXTS},
            optional={
                "env": _mostly(
                    st.lists(st.fixed_dictionaries({"name": _TEXTS}, optional={"value": _TEXTS}), max_size=2),
                    *[{"A": "b"}, [{"value": "x"}], [None], None],
                ),
                "volumeMounts": _OBJECTS,
                "image": _TEXTS,
                "command": _mostly(st.none(), ["a"], "a", [1], [None]),
                "ports": _mostly(st.none(), [{}], {}, [1]),
                "resources": _mostly(st.none(), {}, []),
            },
        ),
        max_size=2,
    ),
    *[{}, [{}], ["node"], [None]],
)
_LABELS = _mostly(st.dictionaries(_KEYS, _mostly(st.sampled_from(["a", None]), 1, "a" * 64), max_size=2))
_TEMPLATE = _some_of(
    {
        "metadata": _some_of({"labels": _LABELS, "annotations": _LABELS}),
        "spec": _some_of(
            {
                "containers": _CONTAINERS,
                "initContainers": _mostly(
                    st.lists(st.fixed_dictionaries({"name": _TEXTS}), max_size=2), {}, [{}]
                ),
                "volumes": _OBJECTS,
                "tolerations": _OBJECTS,
                "imagePullSecrets": _OBJECTS,
                "topologySpreadConstraints": _OBJECTS,
                "resourceClaims": _OBJECTS,
                "affinity": _ANYTHING,
                "nodeName": _mostly(st.none(), "m1", ""),
                "readinessGates": _mostly(st.none(), [], {}),
            }
        ),
    }
)


def specs() -> st.SearchStrategy[Object]:
    """Specs that users might write, about half of them valid."""
    percent = st.builds("{}%".format, st.integers(0, 90))
    return st.fixed_dictionaries(
        {"model": _MODEL},
        optional={
            "replicas": _between(0, 1000),
            "draftModel": _mostly(st.fixed_dictionaries({"uri": _URIS}), {}),
            "parallelism": _some_of(
                {"tensor": _mostly(st.sampled_from([1, 2, 4, 8]), 0, 3, 16), "pipeline": _between(1, 64)}
            ),
            "resources": _some_of({"requests": _AMOUNTS, "limits": _AMOUNTS}),
            "cache": _some_of(_CACHE),
            "scheduling": _some_of(
                {
                    "strategy": _enum("FCFS", "Priority", "SLA", "Fairness"),
                    "maxBatchTokens": _between(16, 1_048_576),
                    "maxSequences": _between(1, 4096),
                }
            ),
            "sizing": _some_of(
                {
                    "policy": _enum("Disabled", "Auto"),
                    "interval": _DURATIONS,
                    "reserve": _mostly(percent, "91%", "-1%", "10", "5.5%", "100%"),
                }
            ),
            "drain": _some_of(
                {
                    "timeout": _DURATIONS,
                    "maxBandwidth": _mostly(st.just("5Mi"), "1Ki", "2Ti", 0),
                    "onTimeout": _enum("Delete", "Block"),
                }
            ),
            "rollout": _some_of({"maxSurge": _between(0, 1000), "maxUnavailable": _between(0, 1000)}),
            "template": _TEMPLATE,
            "access": _some_of({"apiKeysSecret": _mostly(st.sampled_from(["keys", "a.b"]), "-a", "A", "")}),
        },
    )
