"""The chart renders, grants just what the operator uses, and its parts know each other's names."""

import re
from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest
import yaml
from dev import manifests
from helm_python import HelmError, chart

from kvring_contract import names
from kvring_contract.api import Key
from kvring_operator import kube, metrics, pod, settings

Object = dict[str, Any]

VARIANTS: dict[str, Object] = {
    "as it comes": {},
    "two namespaces": {"watchNamespaces": ["a", "b"]},
    "everything on": {
        "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {"enabled": True},
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "priorityClassName": "system-cluster-critical",
    },
    "everything off": {"crds": {"install": False}, "rbac": {"aggregate": False}, "replicas": 0},
}
VALUES = yaml.safe_load((manifests.CHART / "values.yaml").read_text())


def rendered(kind: str, values: Object | None = None, release: str = "kvring") -> list[Object]:
    return [found for found in manifests.render(values, release) if found["kind"] == kind]


def deployment(values: Object | None = None) -> Object:
    [found] = rendered("Deployment", values)
    return found


def grants(rules: list[Object]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def operator_roles(values: Object) -> Iterator[Object]:
    """Roles that bindings give to the operator's account."""
    account = {"kind": "ServiceAccount", "name": "kvring", "namespace": manifests.NAMESPACE}
    for kind in ("Role", "ClusterRole"):
        for binding in rendered(f"{kind}Binding", values):
            if binding["subjects"] == [account]:
                [role] = [
                    found
                    for found in rendered(kind, values)
                    if found["metadata"]["name"] == binding["roleRef"]["name"]
                    and found["metadata"].get("namespace") == binding["metadata"].get("namespace")
                ]
                yield role


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_lint_finds_nothing(values: Object) -> None:
    found = chart.lint(manifests.CHART, values, strict=True, namespace=manifests.NAMESPACE)
    assert not [message for message in found["messages"] if "icon is recommended" not in str(message)]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_object_has_kind_name_and_labels(values: Object) -> None:
    found = manifests.render(values)
    keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in found]
    assert len(set(keys)) == len(keys)
    assert all("app.kubernetes.io/instance" in each["metadata"]["labels"] for each in found)


@pytest.mark.parametrize(
    "values",
    [
        {"colour": "blue"},
        {"image": {"repository": "x", "digest": "y"}},
        {"replicas": -1},
        {"logLevel": "loud"},
        {"watchNamespaces": "default"},
        {"crds": {"keep": True}},
        {"monitoring": {"enabled": "yes"}},
    ],
)
def test_the_schema_refuses_what_no_template_reads(values: Object) -> None:
    with pytest.raises(HelmError, match=next(iter(values))):
        manifests.render(values)


def test_the_schema_knows_every_value_and_no_other() -> None:
    with chart.Chart.load(manifests.CHART) as loaded:
        schema = loaded.schema
    assert schema is not None
    assert schema["properties"].keys() - {"global"} == VALUES.keys()


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_operator_may_do_all_that_it_does_and_nothing_else(values: Object) -> None:
    granted = set().union(*(grants(role["rules"]) for role in operator_roles(values)))
    assert granted == {(group, resource, verb) for group, resource, verbs in kube.ACCESS for verb in verbs}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_no_role_holds_a_wildcard_or_opens_a_door(values: Object) -> None:
    roles = [*rendered("ClusterRole", values), *rendered("Role", values)]
    granted = set().union(*(grants(role["rules"]) for role in roles))
    assert not [grant for grant in granted if "*" in grant]
    assert not [grant for grant in granted if grant[1] in ("pods/exec", "pods/attach", "pods/portforward")]
    assert not [grant for grant in granted if grant[1] == "secrets" and grant[2] in ("list", "watch")]


def test_with_namespaces_chosen_only_machines_are_seen_everywhere() -> None:
    values = VARIANTS["two namespaces"]
    everywhere = [role for role in operator_roles(values) if role["kind"] == "ClusterRole"]
    assert set().union(*(grants(role["rules"]) for role in everywhere)) == {
        ("", "nodes", "list"),
        ("", "nodes", "watch"),
    }
    assert {role["metadata"]["namespace"] for role in operator_roles(values) if role["kind"] == "Role"} == {
        "a",
        "b",
        manifests.NAMESPACE,
    }


def test_users_roles_reach_inferenceclusters_only() -> None:
    roles = {
        label.rpartition("-")[2]: role
        for role in rendered("ClusterRole")
        for label in role["metadata"]["labels"]
        if label.startswith("rbac.authorization.k8s.io/aggregate-to-")
    }
    assert roles.keys() == {"view", "edit", "admin"}
    for role in roles.values():
        assert {group for group, _, _ in grants(role["rules"])} == {names.GROUP}
    assert {verb for _, _, verb in grants(roles["view"]["rules"])} == {"get", "list", "watch"}
    assert (names.GROUP, "inferenceclusters/scale", "patch") in grants(roles["edit"]["rules"])


def test_pods_pass_the_restricted_pod_security_standard() -> None:
    spec = deployment()["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [volume for volume in spec["volumes"] if volume.keys() - {"name", "emptyDir"}] == []


def test_the_operator_understands_every_setting_that_the_chart_writes() -> None:
    values = {
        "watchNamespaces": ["a", "b"],
        "logLevel": "debug",
        "nodeImage": {"repository": "r/n", "tag": "t"},
    }
    [container] = deployment(values)["spec"]["template"]["spec"]["containers"]
    given = {entry["name"]: entry.get("value", "from-the-pod") for entry in container["env"]}
    assert settings.read(given) == settings.Settings(
        node_image="r/n:t",
        node_image_pull_policy="IfNotPresent",
        watch_namespaces=("a", "b"),
        namespace="from-the-pod",
        lease_name="kvring-operator",
        identity="from-the-pod",
        log_level="debug",
    )


def test_ports_and_probes_are_where_the_operator_listens() -> None:
    [container] = deployment()["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"metrics": names.OPERATOR_METRICS_PORT, "health": names.OPERATOR_HEALTH_PORT}
    probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert probes == [{"path": "/healthz", "port": "health"}] * 3


def test_a_busy_machine_has_minutes_to_start_the_operator() -> None:
    """Its imports take seconds of processor time, of which a busy machine gives it 50 thousandths."""
    [container] = deployment()["spec"]["template"]["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120


def test_everything_that_selects_the_operators_pods_finds_them() -> None:
    labels = deployment()["spec"]["template"]["metadata"]["labels"].items()
    [service], [budget] = rendered("Service"), rendered("PodDisruptionBudget")
    for selector in (
        deployment()["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels


def test_prometheus_finds_the_members_and_the_metrics_that_alerts_ask_for() -> None:
    [monitor] = rendered("PodMonitor", VARIANTS["everything on"])
    member = pod.labels(Key("default", "chat"), 0, 1)
    assert monitor["spec"]["selector"]["matchLabels"].items() <= member.items()
    assert set(monitor["spec"]["podTargetLabels"]) <= member.keys()

    [rules] = rendered("PrometheusRule", VARIANTS["everything on"])
    asked = {
        name
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
        for name in re.findall(r"kvring_\w+", rule["expr"])
    }
    assert metrics.LEADER is not None
    known = {sample.name for family in prometheus_client.REGISTRY.collect() for sample in family.samples}
    families = {family.name for family in prometheus_client.REGISTRY.collect()}
    assert {name.removesuffix("_total") for name in asked} <= known | families


def test_the_alert_on_visits_counts_faults_of_the_operator_too() -> None:
    [rules] = rendered("PrometheusRule", VARIANTS["everything on"])
    asked = {rule["alert"]: rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]}

    assert 'result=~"failed|broken"' in asked["KvringVisitsFail"]


def test_the_crd_is_the_one_source_and_stays_when_the_release_goes() -> None:
    [crd] = rendered("CustomResourceDefinition")
    assert crd["spec"] == yaml.safe_load(manifests.CRD.read_text())["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert rendered("CustomResourceDefinition", VARIANTS["everything off"]) == []


def test_two_releases_in_one_cluster_do_not_meet() -> None:
    def cluster_scoped(release: str) -> set[tuple[str, str]]:
        objects = manifests.render({"crds": {"install": False}}, release)
        return {
            (each["kind"], each["metadata"]["name"])
            for each in objects
            if "namespace" not in each["metadata"]
        }

    assert not cluster_scoped("kvring") & cluster_scoped("other")


@pytest.mark.parametrize(("release", "lease"), [("kvring", "kvring-operator"), ("b", "b-kvring-operator")])
def test_each_release_has_a_lease_of_its_own_and_may_touch_no_other(release: str, lease: str) -> None:
    [deployed] = rendered("Deployment", release=release)
    [container] = deployed["spec"]["template"]["spec"]["containers"]
    [role] = [
        found for found in rendered("Role", release=release) if found["metadata"]["name"].endswith("-leader")
    ]

    assert {"name": "KVRING_LEASE_NAME", "value": lease} in container["env"]
    assert {tuple(rule["verbs"]): rule.get("resourceNames") for rule in role["rules"]} == {
        ("create",): None,
        ("get", "update"): [lease],
    }


def test_install_yaml_creates_what_others_need_first_and_names_no_helm() -> None:
    objects = [found for found in yaml.safe_load_all(manifests.INSTALL.read_text()) if found]
    assert [found["kind"] for found in objects[:3]] == [
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
    ]
    assert "Helm" not in str(objects)
    assert "helm.sh" not in str(objects)
