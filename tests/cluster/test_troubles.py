"""What is wrong is said within ten seconds of the cluster knowing it: a reason, and what to do about it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dev import paths
from dev.cluster import layout
from tests.support import broken_models, kube, poll, pools, rooms

pytestmark = pytest.mark.cluster

TOLD_S = 10.0
NO_IMAGE = f"{layout.REGISTRY}/kvring/no-such-image:1"

Fact = Callable[[kube.Object], bool]


def waiting(*reasons: str) -> Fact:
    """The kubelet says that the container waits for this."""

    def seen(pod: kube.Object) -> bool:
        return any(state.get("waiting", {}).get("reason") in reasons for state in _states(pod))

    return seen


def ended(pod: kube.Object) -> bool:
    """The container ran and ended."""
    return any("terminated" in state for state in _states(pod))


def unplaced(pod: kube.Object) -> bool:
    """The scheduler found no machine."""
    return kube.condition_of(pod, "PodScheduled").get("reason") == "Unschedulable"


def _states(pod: kube.Object) -> list[kube.Object]:
    kinds = ("containerStatuses", "initContainerStatuses")
    statuses = [status for kind in kinds for status in pod.get("status", {}).get(kind, [])]
    return [status[when] for status in statuses for when in ("state", "lastState")]


def model(uri: str) -> kube.Object:
    return {**pools.SMALL, "model": {"uri": uri}}


def container(**fields: object) -> kube.Object:
    return {**pools.SMALL, "template": {"spec": {"containers": [{"name": "node", **fields}]}}}


def overlay(**fields: object) -> kube.Object:
    return {**pools.SMALL, "template": {"spec": fields}}


def resources(requests: kube.Object, limits: kube.Object) -> kube.Object:
    return {**pools.SMALL, "resources": {"requests": requests, "limits": limits}}


TROUBLES: list[tuple[str, kube.Object, Fact, str, str]] = [
    # a sentence, the spec, the fact that the cluster knows, the reason, words of the remedy
    (
        "an image that no registry has",
        container(image=NO_IMAGE),
        waiting("ErrImagePull", "ImagePullBackOff"),
        "ImageUnavailable",
        "Check the image's name",
    ),
    (
        "an image of a sidecar that no registry has",
        overlay(containers=[{"name": "proxy", "image": NO_IMAGE}]),
        waiting("ErrImagePull", "ImagePullBackOff"),
        "ImageUnavailable",
        "(container proxy)",
    ),
    (
        "an image that is needed before the engine and that no registry has",
        overlay(initContainers=[{"name": "warm", "image": NO_IMAGE}]),
        waiting("ErrImagePull", "ImagePullBackOff"),
        "ImageUnavailable",
        "(container warm)",
    ),
    (
        "a model folder that is not there",
        model("pvc://models/no-such-folder"),
        ended,
        "ModelNotFound",
        "give the one with config.json",
    ),
    ("weights cut short", model("pvc://broken/truncated"), ended, "ModelCorrupt", "fetch it again"),
    (
        "weights as a pickle alone",
        model("pvc://broken/pickle-only"),
        ended,
        "UnsafeFormat",
        "convert the model to safetensors",
    ),
    (
        "a family that the engine lacks",
        model("pvc://broken/unknown-family"),
        ended,
        "UnsupportedFamily",
        "choose a model of GemmaForCausalLM, LlamaForCausalLM",
    ),
    (
        "weights without a config",
        model("pvc://broken/without-config"),
        ended,
        "ModelIncomplete",
        "fetch the whole model folder",
    ),
    (
        "a claim that nobody made",
        model("pvc://no-such-claim/demo"),
        unplaced,
        "VolumeClaimMissing",
        "Create the claim in namespace",
    ),
    (
        "more memory than any machine has",
        resources({"memory": "100Ti"}, {}),
        unplaced,
        "Unschedulable",
        "lower spec.resources.requests",
    ),
    (
        "a memory limit that the engine outgrows",
        resources({"memory": "100Mi"}, {"memory": "170Mi"}),
        ended,
        "OutOfMemory",
        "Raise spec.resources.limits.memory",
    ),
    (
        "a Secret that a variable names and nobody made",
        container(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "x"}}}]),
        waiting("CreateContainerConfigError"),
        "ContainerCannotStart",
        "See: kubectl describe pod",
    ),
    (
        "a setting that the node does not take",
        container(env=[{"name": "KVRING_NUM_THREADS", "value": "many"}]),
        ended,
        "InvalidSettings",
        "KVRING_NUM_THREADS: 'many' is not a whole number above 0",
    ),
]


@pytest.fixture(scope="module")
def room(api: kube.Api, shared_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace whose claim `broken` holds models that cannot be loaded."""
    folder: Path = tmp_path_factory.mktemp("models")
    broken_models.make(paths.models() / "demo-small", folder)
    rooms.mount(api, shared_namespace, "broken", folder)
    return shared_namespace


@pytest.mark.parametrize(
    ("name", "spec", "fact", "reason", "remedy"), TROUBLES, ids=[row[0] for row in TROUBLES]
)
def test_trouble_is_told(
    api: kube.Api, room: str, name: str, spec: kube.Object, fact: Fact, reason: str, remedy: str
) -> None:
    with pools.temporary(api, rooms.name_of(name).removeprefix("t-"), room, spec) as pool:
        pool.until(lambda: [fact(pod) for pod in pool.pods()], any, f"the cluster knows of {name}")
        assert remedy in pool.wait_reason("Degraded", reason, TOLD_S)["message"]
        ready = pool.condition("Ready")
        assert (ready["status"], ready["reason"]) == ("False", reason)
        pool.until(pool.events, lambda said: warned(said, reason), f"a warning {reason}", TOLD_S)


def warned(events: list[kube.Object], reason: str) -> bool:
    return any(event["type"] == "Warning" and event["reason"] == reason for event in events)


def test_a_quota_that_is_used_up_is_told(api: kube.Api, namespace: str) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    api.create(quota)
    pool = pools.Pool(api, "chat", namespace).apply(pools.SMALL)
    told = pool.wait_reason("Degraded", "QuotaExceeded", TOLD_S)
    assert "few" in told["message"]
    api.delete("ResourceQuota", "few", namespace)
    pool.wait_ready()
    assert pool.condition("Degraded")["status"] == "False"


def test_a_webhook_that_nobody_serves_is_told_and_stops_nothing_else(api: kube.Api, namespace: str) -> None:
    webhook = {
        "name": "check.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "timeoutSeconds": 2,
    }
    kind = "ValidatingWebhookConfiguration"
    api.create(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": namespace},
            "webhooks": [webhook],
        }
    )
    try:
        poll.until(lambda: refuses_pods(api, namespace), what="the API server asks the webhook", within_s=60)
        pool = pools.Pool(api, "chat", namespace).apply(pools.SMALL)
        told = pool.wait_reason("Degraded", "Refused", TOLD_S)
        assert "check.example.com" in told["message"]
        assert api.find("Service", "chat", namespace)
        assert pool.condition("Ready")["status"] == "False"
    finally:
        api.delete(kind, namespace, None)
    pool.wait_ready()
    assert pool.condition("Degraded")["status"] == "False"


def refuses_pods(api: kube.Api, namespace: str) -> bool:
    container = {"name": "a", "image": "none"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": namespace},
        "spec": {"containers": [container]},
    }
    try:
        api.create(pod, dry_run=True)
    except kube.Refused as refused:
        return "check.example.com" in refused.message
    return False
