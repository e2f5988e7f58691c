"""The chart's life on a real cluster: install, upgrade, roll back, uninstall, beside the other release."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev import build, commands, failure, manifests, paths
from tests.support import kube, poll, release

pytestmark = pytest.mark.cluster

NAME = "second"
FULL_NAME = "second-kvring"
ROLL_OUT_S = 120.0

Helm = Callable[..., str]


@pytest.fixture(scope="module")
def namespace(api: kube.Api) -> Iterator[str]:
    """Pod Security refuses every pod here that does not pass "restricted"."""
    with api.namespace("helm-life", {"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        yield name
    api.wait_gone("Namespace", "helm-life", None, within_s=ROLL_OUT_S)


@pytest.fixture(scope="module")
def helm(namespace: str) -> Helm:
    """Runs Helm in that namespace and gives what it printed."""

    def run(*words: str | Path) -> str:
        flags = (f"--kubeconfig={paths.kubeconfig()}", f"--namespace={namespace}")
        return commands.run([build.program(build.HELM, "helm"), *flags, *words], timeout_s=ROLL_OUT_S + 30)

    return run


@pytest.fixture(scope="module")
def values(kvring: release.Release, namespace: str) -> list[str]:
    """The images of the installed operator; one namespace only, so that two operators never meet."""
    [container] = kvring.deployment()["spec"]["template"]["spec"]["containers"]
    repository, _, tag = container["image"].rpartition(":")
    settings = {
        "crds.install": "false",
        "watchNamespaces": f"{{{namespace}}}",
        "image.repository": repository,
        "image.tag": tag,
        "replicas": "1",
    }
    return [f"--set={name}={value}" for name, value in settings.items()]


def test_install_upgrade_rollback_uninstall(
    api: kube.Api, helm: Helm, values: list[str], namespace: str
) -> None:
    """One story: each step needs the one before."""
    wait = ("--wait", f"--timeout={ROLL_OUT_S:.0f}s")

    notes = helm("install", NAME, manifests.CHART, *values, *wait)
    assert f"it looks after {namespace} only" in notes
    assert ready_replicas(api, namespace) == 1
    poll.until(lambda: leader(api, namespace), what="the second operator leads", within_s=60)

    helm("upgrade", NAME, manifests.CHART, *values, "--set=replicas=2", "--set=logLevel=debug", *wait)
    assert ready_replicas(api, namespace) == 2
    assert environment(api, namespace)["KVRING_LOG_LEVEL"] == "debug"

    helm("rollback", NAME, "1", *wait)
    poll.until(
        lambda: ready_replicas(api, namespace), lambda ready: ready == 1, what="one replica", within_s=120
    )
    assert environment(api, namespace)["KVRING_LOG_LEVEL"] == "info"
    history = json.loads(helm("history", NAME, "--output=json"))
    assert [entry["revision"] for entry in history] == [1, 2, 3]

    helm("uninstall", NAME, "--wait")
    assert left_over(api, namespace) == []
    assert api.find("CustomResourceDefinition", "inferenceclusters.kvring.dev", None)


def test_a_value_that_the_schema_does_not_know_is_refused_before_anything_is_made(
    api: kube.Api, helm: Helm, namespace: str
) -> None:
    with pytest.raises(failure.Failure, match="colour"):
        helm("install", "refused", manifests.CHART, "--set=colour=blue")
    assert left_over(api, namespace) == []


def test_the_api_server_takes_every_object_of_install_yaml(api: kube.Api, kvring: release.Release) -> None:
    for found in yaml.safe_load_all(manifests.INSTALL.read_text()):
        api.apply(found, dry_run=True)


@pytest.mark.parametrize(
    ("role", "verb", "subresource", "allowed"),
    [
        ("view", "list", "", True),
        ("view", "create", "", False),
        ("view", "patch", "scale", False),
        ("edit", "create", "", True),
        ("edit", "patch", "scale", True),
        ("edit", "patch", "status", False),
        ("admin", "delete", "", True),
    ],
)
def test_the_clusters_own_roles_reach_pools(
    api: kube.Api,
    kvring: release.Release,
    namespace: str,
    role: str,
    verb: str,
    subresource: str,
    allowed: bool,
) -> None:
    user = f"some-{role}"
    api.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": user, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
    )
    asked = {"namespace": namespace, "group": "kvring.dev", "resource": "inferenceclusters"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": user, "resourceAttributes": asked | {"verb": verb, "subresource": subresource}},
    }

    def answer() -> bool:
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(api.request("POST", path, json=review).json()["status"]["allowed"])

    poll.until(answer, lambda said: said is allowed, what=f"{role} may {verb}: {allowed}", within_s=60)


def ready_replicas(api: kube.Api, namespace: str) -> int:
    return int(api.get("Deployment", FULL_NAME, namespace)["status"].get("readyReplicas", 0))


def leader(api: kube.Api, namespace: str) -> str:
    lease = api.find("Lease", f"{FULL_NAME}-operator", namespace) or {"spec": {}}
    return str(lease["spec"].get("holderIdentity") or "")


def environment(api: kube.Api, namespace: str) -> dict[str, Any]:
    [container] = api.get("Deployment", FULL_NAME, namespace)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def left_over(api: kube.Api, namespace: str) -> list[str]:
    """What bears the release's label, here or without a namespace."""
    scoped = ("Deployment", "Service", "ServiceAccount", "Role", "RoleBinding", "PodDisruptionBudget")
    unscoped = ("ClusterRole", "ClusterRoleBinding")
    label = f"app.kubernetes.io/instance={NAME}"
    found = [(kind, item) for kind in scoped for item in api.list(kind, namespace, label)]
    found += [(kind, item) for kind in unscoped for item in api.list(kind, None, label)]
    return [f"{kind}/{item['metadata']['name']}" for kind, item in found]
