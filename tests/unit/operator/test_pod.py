"""The pod that a member runs.

Its identity, its security, its model, the overlay, and what counts as drift.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import builders, specs, wild_specs

from kvring_contract import api, names, overlay
from kvring_operator import desire, pod


def manifest(slot: int = 0, incarnation: int = 1, **spec: Any) -> dict[str, Any]:
    wanted = builders.desired(**spec)
    return pod.manifest(wanted.key, wanted.uid, wanted.template, slot, incarnation)


def container(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = manifest(**spec)["spec"]["containers"][0]
    return found


def flags(**spec: Any) -> dict[str, str]:
    words = container(**spec)["args"]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_identity_follows_from_slot_and_incarnation() -> None:
    meta = manifest(2, 5)["metadata"]

    assert meta["name"] == "chat-2-5"
    assert meta["labels"][names.LABEL_SLOT] == "2"
    assert meta["labels"][names.LABEL_INCARNATION] == "5"
    assert meta["labels"][names.LABEL_RING] == "serving"
    assert (
        meta["ownerReferences"][0] | {"uid": builders.UID, "controller": True} == meta["ownerReferences"][0]
    )


def test_it_passes_pod_security_restricted() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec = manifest()["spec"]
    inner = spec["containers"][0]["securityContext"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert (inner["allowPrivilegeEscalation"], inner["readOnlyRootFilesystem"]) == (False, True)
    assert not spec["automountServiceAccountToken"]
    kinds = {"emptyDir", "secret", "persistentVolumeClaim", "configMap", "projected"}
    assert all(kinds & volume.keys() for volume in spec["volumes"])


def test_readiness_waits_for_the_ring() -> None:
    assert manifest()["spec"]["readinessGates"] == [{"conditionType": "kvring.dev/ring-member"}]


def test_the_grace_is_longer_than_the_drain() -> None:
    assert manifest(drain={"timeout": "90s"})["spec"]["terminationGracePeriodSeconds"] == 120


def test_the_engine_is_told_what_the_spec_says() -> None:
    told = flags(
        model={"uri": "pvc://models/demo", "servedName": "chatty", "dtype": "float32", "maxModelLen": 512},
        cache={"pageTokens": 32, "size": {"min": "16Mi", "initial": "32Mi", "max": "64Mi"}},
        scheduling={"strategy": "Fairness", "maxBatchTokens": 256, "maxSequences": 4},
    )

    assert (
        told
        | {
            "--model": "/models/models/demo",
            "--served-name": "chatty",
            "--dtype": "float32",
            "--max-model-len": "512",
            "--page-tokens": "32",
            "--strategy": "Fairness",
            "--max-batch-tokens": "256",
            "--max-sequences": "4",
            "--cache-bytes": str(32 << 20),
            "--internal-key-file": "/etc/kvring/internal/key",
        }
        == told
    )


@pytest.mark.parametrize(
    ("uri", "model", "volume"),
    [
        (
            "pvc://models/a/b",
            "/models/models/a/b",
            {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
        ),
        (
            "pvc://models",
            "/models/models",
            {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
        ),
        ("hf://Qwen/Qwen3-0.6B", "hf://Qwen/Qwen3-0.6B", {"emptyDir": {}}),
        (
            "oci://r.example/m:1",
            "/models/image",
            {"image": {"reference": "r.example/m:1", "pullPolicy": "IfNotPresent"}},
        ),
        ("file:///data/m", "/data/m", None),
    ],
)
def test_each_kind_of_place_gives_a_model(uri: str, model: str, volume: dict[str, Any] | None) -> None:
    found = {entry["name"]: entry for entry in manifest(model={"uri": uri})["spec"]["volumes"]}

    assert flags(model={"uri": uri})["--model"] == model
    assert found.get("model") == ({"name": "model", **volume} if volume else None)


def test_the_overlay_adds_and_does_not_take_away() -> None:
    spec = manifest(
        template={
            "metadata": {
                "labels": {"team": "a", "app.kubernetes.io/name": "mine"},
                "annotations": {"note": "x"},
            },
            "spec": {
                "nodeSelector": {"gpu": "yes"},
                "volumes": [{"name": "extra", "emptyDir": {}}],
                "containers": [
                    {"name": "node", "env": [{"name": "A", "value": "1"}], "image": "mine"},
                    {"name": "beside", "image": "other"},
                ],
            },
        }
    )

    assert spec["metadata"]["labels"]["team"] == "a"
    assert spec["metadata"]["labels"]["app.kubernetes.io/name"] == "kvring-node"
    assert spec["metadata"]["annotations"]["note"] == "x"
    assert spec["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert {"tmp", "internal", "model", "extra"} == {volume["name"] for volume in spec["spec"]["volumes"]}
    assert [one["name"] for one in spec["spec"]["containers"]] == ["node", "beside"]
    assert spec["spec"]["containers"][0]["image"] == "mine"
    assert {"HOME", "A"} <= {entry["name"] for entry in spec["spec"]["containers"][0]["env"]}


JSON = st.recursive(
    st.sampled_from([None, True, 5, 0.5, "a", "node", "kvring.dev/x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "env", "volumeMounts", "containers", "tolerations", "labels", "spec"]),
            inner,
            max_size=3,
        )
    ),
)
FIELDS = ["containers", "initContainers", *overlay.SHARED, *overlay.OWNED, "affinity"]


@given(
    wild_specs.specs()
    | st.builds(
        lambda meta, spec: {**specs.MINIMAL, "template": {"metadata": meta, "spec": spec}},
        JSON | st.dictionaries(st.sampled_from(["labels", "annotations"]), JSON),
        JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    )
)
def test_whatever_can_be_read_can_be_made_into_a_pod(spec: Any) -> None:
    """Or every visit would break off, and a deletion would never end."""
    try:
        cluster = api.parse(specs.cluster(spec))
    except api.ParseError:
        return
    wanted = desire.derive(cluster, builders.IMAGE)
    made = pod.manifest(wanted.key, wanted.uid, wanted.template, 0, 1)
    assert made["spec"]["containers"][0]["name"] == "node"


def test_null_in_the_overlay_is_the_same_as_absent() -> None:
    empty = {"metadata": {"labels": None}, "spec": {"tolerations": None, "affinity": None}}
    nulls = {"containers": [{"name": "node", "env": None, "volumeMounts": None, "image": None}]}

    assert manifest(template=empty) == manifest()
    assert manifest(template={"spec": nulls}) == manifest()


@pytest.mark.parametrize(
    ("limits", "variables", "device"),
    [
        ({}, [], None),
        ({"nvidia.com/gpu": "1"}, [], "cuda"),
        ({"nvidia.com/mig-1g.5gb": 1}, [], "cuda"),
        ({"nvidia.com/gpu.shared": 1}, [], "cuda"),
        ({"nvidia.com/gpu": 0}, [], None),
        ({"nvidia.com/hostdev": 1}, [], None),
        ({"nvidia.com/gpu": "1"}, [{"name": "KVRING_DEVICE", "value": "cpu"}], "cpu"),
    ],
    ids=[
        "no GPU is asked for",
        "a GPU is asked for",
        "a slice of a GPU is asked for",
        "a share of a GPU is asked for",
        "zero GPUs are asked for",
        "another device is asked for",
        "a GPU is asked for, and a CPU is good enough",
    ],
)
def test_who_asks_for_a_gpu_gets_one_unless_the_overlay_allows_less(
    limits: dict[str, str | int], variables: list[dict[str, str]], device: str | None
) -> None:
    containers = [{"name": "node", "env": variables}]
    found = container(resources={"limits": limits}, template={"spec": {"containers": containers}})["env"]

    assert [entry["value"] for entry in found if entry["name"] == "KVRING_DEVICE"] == (
        [device] if device else []
    )


@pytest.mark.parametrize(
    ("change", "drifts"),
    [
        ({"model": {"uri": "pvc://models/other"}}, True),
        ({"resources": {"limits": {"memory": "2Gi"}}}, True),
        ({"template": {"spec": {"nodeSelector": {"a": "b"}}}}, True),
        ({"replicas": 7}, False),
        ({"rollout": {"maxSurge": 3}}, False),
        ({"cache": {"replicationFactor": 2}}, False),
    ],
)
def test_only_what_a_pod_is_made_of_is_drift(change: dict[str, Any], drifts: bool) -> None:
    assert drifts == (builders.desired(**change).template.hash != builders.desired().template.hash)


def test_a_restarted_operator_renders_the_same_bytes() -> None:
    assert json.dumps(manifest(), sort_keys=True) == json.dumps(manifest(), sort_keys=True)
    assert manifest()["metadata"]["labels"][names.LABEL_TEMPLATE_HASH] == builders.desired().template.hash
