from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support import specs

from kvring_contract import api
from kvring_contract import spec as types
from kvring_contract.model_uri import ModelUri, Scheme

BAD: list[tuple[str, object, str]] = [
    # field, value, words of the answer
    ("model", None, "spec.model.uri: is required"),
    ("model", "demo", "spec.model: 'demo' is not an object"),
    ("model.uri", 5, "spec.model.uri: 5 is not a string"),
    ("model.uri", "s3://x", "spec.model.uri: 's3://x' does not begin with pvc://"),
    ("model.servedName", "a b", "spec.model.servedName: 'a b' is not a model name"),
    ("draftModel", {}, "spec.draftModel.uri: is required"),
    ("replicas", True, "spec.replicas: True is not a whole number from 0 to 1000"),
    ("replicas", "3", "spec.replicas: '3' is not a whole number"),
    ("parallelism.tensor", 3, "spec.parallelism.tensor: 3 is none of 1, 2, 4, 8"),
    ("resources.limits", {"cpu": "half"}, "spec.resources.limits.cpu: 'half' is not a quantity"),
    (
        "resources",
        {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}},
        "spec.resources: a request must not exceed the limit of the same name .memory.",
    ),
    ("cache.eviction", "lru", "spec.cache.eviction: 'lru' is none of LRU, LFU"),
    ("cache.size.min", "1Ki", "spec.cache.size.min: '1Ki' is not between 1Mi and 16Ti"),
    ("cache.size.min", 1.5, "spec.cache.size.min: 1.5 is not a string"),
    ("cache.size", {"min": "1Gi"}, "spec.cache.size: set min <= initial <= max"),
    ("cache.semantic.threshold", 0.5, "spec.cache.semantic.threshold: 0.5 is not a decimal"),
    ("sizing.reserve", "95%", "spec.sizing.reserve: '95%' is not a percentage from 0% to 90%"),
    ("drain.timeout", "25h", "spec.drain.timeout: '25h' is not between 1s and 24h"),
    ("drain.maxBandwidth", "1", "spec.drain.maxBandwidth: '1' is not between 1Mi and 1Ti"),
    ("rollout", {"maxSurge": 0}, "spec.rollout: set maxSurge or maxUnavailable to at least 1"),
    ("access.apiKeysSecret", "A", "spec.access.apiKeysSecret: 'A' is not the name of a Secret"),
    ("template", [1], "spec.template: .1. is not an object"),
    (
        "template.metadata.labels",
        {"a": 1},
        "spec.template.metadata.labels.a: 1 is not a string of at most 63",
    ),
    ("template.metadata.labels", {"kvring.dev/slot": "9"}, "keys under kvring.dev/ belong to the operator"),
    (
        "template.spec.tolerations",
        {"key": "gpu"},
        r"spec.template.spec.tolerations: is not a list .* with a dash",
    ),
    ("template.spec.volumes", ["a"], r"spec.template.spec.volumes.0.: 'a' is not an object"),
    ("template.spec.nodeName", "m1", "spec.template.spec: remove nodeName; use nodeSelector"),
    ("template.spec.initContainers", [{"name": "node"}], "the name node belongs to the engine's container"),
    ("template.spec.containers", [{}], r"spec.template.spec.containers.0.\.name: is required"),
    (
        "template.spec.containers",
        [{"name": "node", "env": {"A": "b"}}],
        r"spec.template.spec.containers.0..env: is not a list .* with a dash",
    ),
    (
        "template.spec.containers",
        [{"name": "node", "env": [{"value": "b"}]}],
        r"spec.template.spec.containers.0..env.0..name: is required",
    ),
    (
        "template.spec.containers",
        [{"name": "node", "args": ["--dtype=auto"]}],
        "belong to the operator; set spec.model",
    ),
]

PENDING = [
    ("draftModel", {"uri": "pvc://models/small"}, "spec.draftModel"),
    ("parallelism.tensor", 2, "spec.parallelism.tensor"),
    ("parallelism.pipeline", 2, "spec.parallelism.pipeline"),
    ("cache.replicationFactor", 2, "spec.cache.replicationFactor"),
    ("cache.virtualNodes", 128, "spec.cache.virtualNodes"),
    ("cache.eviction", "FIFO", "spec.cache.eviction"),
    ("cache.quantization", "Int4", "spec.cache.quantization"),
    ("cache.semantic.policy", "Enabled", "spec.cache.semantic"),
    ("sizing.policy", "Auto", "spec.sizing.policy"),
    ("drain.maxBandwidth", "1Gi", "spec.drain.maxBandwidth"),
    ("access.apiKeysSecret", "keys", "spec.access.apiKeysSecret"),
]


def parsed(spec: dict[str, Any]) -> types.Spec:
    return api.parse(specs.cluster(spec)).spec


def test_the_smallest_yaml_is_complete_and_asks_for_nothing_that_is_pending() -> None:
    spec = parsed(specs.MINIMAL)
    assert spec == types.Spec(model=types.Model(ModelUri(Scheme.PVC, "models", "demo"), served_name="chat"))
    assert api.pending_features(spec) == ()


def test_every_field_is_read() -> None:
    spec = parsed(specs.EVERY_FIELD)
    assert spec.cache.size == types.CacheSize(128 * 2**20, 4 * 2**30, 2**30)
    assert spec.drain == types.Drain(300.0, 50 * 2**20, types.OnTimeout.BLOCK)
    assert spec.sizing == types.Sizing(types.SizingPolicy.AUTO, 30.0, 0.2)
    assert spec.resources.limits == {"memory": "6Gi", "nvidia.com/gpu": "1"}
    assert spec.template == specs.EVERY_FIELD["template"]


@pytest.mark.parametrize(("path", "value", "answer"), BAD)
def test_a_bad_field_is_named_with_what_to_write(path: str, value: object, answer: str) -> None:
    with pytest.raises(api.ParseError, match=answer) as error:
        parsed(specs.changed(path, value))
    assert str(error.value) == f"{error.value.path}: {error.value.message}"


@pytest.mark.parametrize(("path", "value", "feature"), PENDING)
def test_what_does_not_work_yet_is_named(path: str, value: object, feature: str) -> None:
    assert api.pending_features(parsed(specs.changed(path, value))) == (feature,)


@pytest.mark.parametrize(
    ("path", "value"),
    [("sizing.interval", "1m"), ("cache.semantic.threshold", "0.5"), ("drain.maxBandwidth", "102400Ki")],
)
def test_a_setting_of_something_that_is_off_is_not_pending(path: str, value: object) -> None:
    assert api.pending_features(parsed(specs.changed(path, value))) == ()


def test_unknown_fields_of_a_newer_crd_are_passed_over() -> None:
    assert parsed(specs.changed("colour", "blue")) == parsed(specs.MINIMAL)


def test_null_is_the_same_as_absent() -> None:
    assert parsed(specs.changed("cache", None)) == parsed(specs.MINIMAL)
    assert parsed(specs.changed("resources.requests", {"cpu": None})) == parsed(specs.MINIMAL)
    for path in ("template.metadata", "template.spec"):
        assert parsed(specs.changed(path, None)) == parsed(specs.MINIMAL)
    nulls = {
        "tolerations": None,
        "volumes": None,
        "affinity": None,
        "containers": [{"name": "node", "env": None}],
    }
    assert parsed(specs.changed("template.spec", nulls)).template == {
        "spec": {"containers": [{"name": "node"}]}
    }


@pytest.mark.parametrize("name", ["a" * 41, "chat.2", "2chat", "Chat", "", "chat-", "chat\n"])
def test_names_that_pods_could_not_derive_from_are_refused(name: str) -> None:
    with pytest.raises(api.ParseError, match=r"metadata.name: .* is not a name of at most 40"):
        api.parse(specs.cluster(name=name))


def test_other_kinds_are_refused() -> None:
    with pytest.raises(api.ParseError, match=r"is not (InferenceCluster|kvring.dev/v1alpha1)"):
        api.parse({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}})


def test_metadata_is_read_also_when_the_spec_is_broken() -> None:
    body = specs.cluster({"model": {}}) | {
        "metadata": {
            "name": "chat",
            "namespace": "prod",
            "uid": "u-1",
            "generation": 7,
            "resourceVersion": "42",
            "finalizers": ["kvring.dev/drain"],
            "deletionTimestamp": "2026-01-02T03:04:05Z",
        }
    }
    assert api.Metadata.parse(body) == api.Metadata(
        key=api.Key("prod", "chat"),
        uid="u-1",
        generation=7,
        resource_version="42",
        finalizers=("kvring.dev/drain",),
        deletion_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


def test_a_file_without_a_cluster_is_enough() -> None:
    cluster = api.parse(
        {
            "apiVersion": "kvring.dev/v1alpha1",
            "kind": "InferenceCluster",
            "metadata": {"name": "chat"},
            "spec": specs.MINIMAL,
        }
    )
    assert str(cluster.key) == "default/chat"
    assert (cluster.metadata.uid, cluster.metadata.deletion_at, cluster.status) == ("", None, {})
