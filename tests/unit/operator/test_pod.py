"""The pod that a member runs.

Its identity, its security, its model, the overlay, and what counts as drift.
"""

import json
from typing import Any

import pytest
from tests.support import builders

from kvring_contract import names
from kvring_operator import pod


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
            "metadata": {"labels": {"team": "a", "kvring.dev/slot": "9"}, "annotations": {"note": "x"}},
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
    assert spec["metadata"]["labels"]["kvring.dev/slot"] == "0"
    assert spec["metadata"]["annotations"]["note"] == "x"
    assert spec["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert {"tmp", "internal", "model", "extra"} == {volume["name"] for volume in spec["spec"]["volumes"]}
    assert [one["name"] for one in spec["spec"]["containers"]] == ["node", "beside"]
    assert spec["spec"]["containers"][0]["image"] == "mine"
    assert {"HOME", "A"} <= {entry["name"] for entry in spec["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize(
    ("limits", "overlay", "device"),
    [
        ({}, [], None),
        ({"nvidia.com/gpu": "1"}, [], "cuda"),
        ({"nvidia.com/gpu": "1"}, [{"name": "KVRING_DEVICE", "value": "cpu"}], "cpu"),
    ],
    ids=["no GPU is asked for", "a GPU is asked for", "a GPU is asked for, and a CPU is good enough"],
)
def test_who_asks_for_a_gpu_gets_one_unless_the_overlay_allows_less(
    limits: dict[str, str], overlay: list[dict[str, str]], device: str | None
) -> None:
    containers = [{"name": "node", "env": overlay}]
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
