"""The local cluster keeps its promises; shown on a machine m9 and in a namespace of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dev import build, paths
from dev.cluster import (
    cgroups,
    containers,
    control_plane,
    kubectl,
    layout,
    machines,
    mounts,
    processes,
    storage,
)
from dev.cluster.layout import Machine
from tests.support import audit, kube, poll

pytestmark = pytest.mark.cluster

IMAGE = "localhost/kvring/probe:1"
MACHINE = Machine(9)
LABELS = {"app": "probe"}
TAINT = {"key": "kvring.dev/local-cluster-test", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def namespace(api: kube.Api) -> Iterator[str]:
    with api.namespace("local-cluster") as name:
        poll.until(lambda: api.find("ServiceAccount", "default", name), what="its account", within_s=60)
        yield name
    api.wait_gone("Namespace", name, None, within_s=120)


@pytest.fixture(scope="module")
def second_machine(api: kube.Api) -> Iterator[Machine]:
    """A machine beside the host, both with the probe's image; other people's pods stay off it."""
    build.build(build.PROBE)
    machines.add(MACHINE.name)
    api.patch("Node", MACHINE.name, {"spec": {"taints": [TAINT]}}, None)
    give_probe(layout.HOST)
    give_probe(MACHINE)
    yield MACHINE
    machines.remove(MACHINE.name)
    shutil.rmtree(paths.pulled(MACHINE.name))


@pytest.fixture(scope="module")
def servers(api: kube.Api, namespace: str, second_machine: Machine) -> dict[str, str]:
    """A serving pod on each machine behind the Service `probe`: machine -> pod."""
    spec = {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "probe", "namespace": namespace},
            "spec": spec,
        }
    )
    pods = {machine.name: f"on-{machine.name}" for machine in (layout.HOST, second_machine)}
    for machine, pod in pods.items():
        api.create(probe_pod(pod, namespace, machine))
    for pod in pods.values():
        api.wait_condition("Pod", pod, "Ready", namespace=namespace, within_s=120)
    return pods


def give_probe(machine: Machine) -> None:
    containers.give_image(machine, build.program(build.PROBE, "probe"), IMAGE)


def probe_pod(name: str, namespace: str, machine: str, **spec: Any) -> kube.Object:
    container = {
        "name": "probe",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": ["serve"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    metadata = {"name": name, "namespace": namespace, "labels": LABELS}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], "nodeName": machine, "terminationGracePeriodSeconds": 0} | spec,
    }


def probe(namespace: str, pod: str, *words: str) -> str:
    """Runs the probe in a pod."""
    return kubectl.run("exec", "--namespace", namespace, pod, "--", "/probe", *words)


def can_reach(namespace: str, pod: str, url: str) -> bool:
    return kubectl.succeeds("exec", "--namespace", namespace, pod, "--", "/probe", "get", url)


def address(api: kube.Api, namespace: str, pod: str) -> str:
    return str(api.get("Pod", pod, namespace)["status"]["podIP"])


def test_pods_of_every_machine_reach_every_other_through_the_service_by_name(namespace, servers) -> None:
    for asking in servers.values():
        answered: set[str] = set()

        def ask(asking: str = asking, answered: set[str] = answered) -> set[str]:
            if can_reach(namespace, asking, "http://probe"):
                answered.add(probe(namespace, asking, "get", "http://probe"))
            return answered

        poll.until(ask, lambda seen: seen == set(servers.values()), what="both answer", within_s=60)


def test_names_outside_of_the_cluster_fail_at_once_and_for_good(namespace, servers) -> None:
    with pytest.raises(Exception, match="no such host"):
        probe(namespace, servers["m1"], "get", "http://example.com")


def test_a_cut_machine_is_unheard_until_it_is_healed(api, namespace, servers) -> None:
    url = f"http://{address(api, namespace, servers[MACHINE.name])}:8080"
    assert can_reach(namespace, servers["m1"], url)
    machines.partition(MACHINE.name)
    try:
        assert not can_reach(namespace, servers["m1"], url)
    finally:
        machines.heal(MACHINE.name)
    poll.until(lambda: can_reach(namespace, servers["m1"], url), what="heard again", within_s=60)


@pytest.mark.parametrize("part", ["containerd", "kubelet", "kube-proxy"])
def test_a_killed_part_of_a_machine_is_mended_and_its_pods_do_not_notice(
    part, api, namespace, servers
) -> None:
    before = container_of(api, namespace, servers[MACHINE.name])
    killed = kill(MACHINE.folder, part)

    outcomes = machines.add(MACHINE.name)

    assert outcomes[part] is processes.Outcome.MENDED
    assert not killed.is_alive()
    assert {outcome for name, outcome in outcomes.items() if name != part} == {processes.Outcome.RUNNING}
    assert container_of(api, namespace, servers[MACHINE.name]) == before


@pytest.mark.parametrize(
    "component",
    [control_plane.scheduler, control_plane.controller_manager, control_plane.dns],
    ids=lambda c: c.__name__,
)
def test_a_killed_part_of_the_control_plane_is_mended_by_up(
    component: Callable[[], processes.Component],
) -> None:
    kill(paths.run(), component().name)
    assert cluster("status").returncode == 1
    up = cluster("up")
    assert f"{component().name} had died, started again" in up.stdout, up.stderr
    assert cluster("status").returncode == 0


def test_up_on_a_cluster_that_works_changes_nothing() -> None:
    records = list(processes.records(paths.run()).iterdir())
    before = [path.read_text() for path in records]
    assert cluster("up").returncode == 0
    assert [path.read_text() for path in records] == before


def test_a_volume_on_a_host_folder_is_read_on_every_machine(
    api, namespace, second_machine, tmp_path: Path
) -> None:
    (tmp_path / "greeting").write_text("good morning")
    tmp_path.chmod(0o755)
    kubectl.apply(storage.host_volume("folder", tmp_path, namespace))
    volume = {"name": "folder", "persistentVolumeClaim": {"claimName": "folder", "readOnly": True}}
    for machine in (layout.HOST, second_machine):
        pod = probe_pod(f"reads-on-{machine.name}", namespace, machine.name, volumes=[volume])
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "folder", "mountPath": "/folder"}]
        api.create(pod)
        api.wait_condition("Pod", pod["metadata"]["name"], "Ready", namespace=namespace, within_s=120)
        assert probe(namespace, pod["metadata"]["name"], "read", "/folder/greeting") == "good morning"
    api.delete("PersistentVolume", f"{namespace}-folder", None)


def test_a_restricted_namespace_refuses_a_privileged_pod(api) -> None:
    with api.namespace(
        "local-cluster-restricted", {"pod-security.kubernetes.io/enforce": "restricted"}
    ) as name:
        poll.until(lambda: api.find("ServiceAccount", "default", name), what="its account", within_s=60)
        with pytest.raises(kube.Refused, match='violates PodSecurity "restricted'):
            api.create(probe_pod("privileged", name, "m1", hostNetwork=True))


@pytest.mark.parametrize(
    ("verb", "kind", "user", "allowed"),
    [
        ("list", "secrets", "system:serviceaccount:default:default", False),
        ("list", "services", "system:coredns", True),
        ("list", "secrets", "system:coredns", False),
    ],
)
def test_rights_are_granted_by_rbac(verb: str, kind: str, user: str, allowed: bool) -> None:
    assert kubectl.succeeds("auth", "can-i", verb, kind, f"--as={user}", "--all-namespaces") == allowed


def test_the_audit_log_holds_every_write_and_no_read(api, namespace) -> None:
    api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "audited", "namespace": namespace}}
    )
    api.get("ConfigMap", "audited", namespace)
    api.delete("ConfigMap", "audited", namespace)
    about = f"/api/v1/namespaces/{namespace}/configmaps"
    seen = poll.until(
        lambda: [event["verb"] for event in audited(about) if event["requestURI"].startswith(about)],
        lambda verbs: "delete" in verbs,
        what="the deletion is logged",
        within_s=60,
    )
    assert "create" in seen
    assert "get" not in seen


def test_a_fake_gpu_on_a_machines_status_is_scheduled(api, namespace, second_machine) -> None:
    gpu = {"nvidia.com/gpu": "1"}
    api.patch(
        "Node",
        second_machine.name,
        {"status": {"capacity": gpu, "allocatable": gpu}},
        None,
        subresource="status",
    )
    pod = probe_pod("wants-gpu", namespace, "", tolerations=[TAINT | {"operator": "Exists"}])
    del pod["spec"]["nodeName"]
    pod["spec"]["containers"][0]["resources"] = {"limits": gpu}
    api.create(pod)
    api.wait_condition("Pod", "wants-gpu", "Ready", namespace=namespace, within_s=120)
    assert api.get("Pod", "wants-gpu", namespace)["spec"]["nodeName"] == second_machine.name


def test_kubelet_metrics_tell_a_pods_memory(namespace, servers) -> None:
    pod = servers[MACHINE.name]
    metrics = f"/api/v1/nodes/{MACHINE.name}/proxy/metrics/resource"
    poll.until(
        lambda: kubectl.run("get", "--raw", metrics).splitlines(),
        lambda lines: any(line.startswith("container_memory") and f'pod="{pod}"' in line for line in lines),
        what="the pod's memory is measured",
        within_s=120,
    )


def test_of_a_lost_machine_nothing_is_left_and_it_can_come_back(servers) -> None:
    """Last of the file, since it takes the pods of `servers` with it."""
    before = [processes.read(path) for path in processes.records(MACHINE.folder).iterdir()]
    machines.lose(MACHINE.name)
    assert not any(record.is_alive() for record in before if record)
    assert not MACHINE.folder.exists()
    assert mounts.beneath(MACHINE.folder) == []
    assert not list(cgroups.ROOT.glob(f"**/{MACHINE.cgroup}"))
    assert (
        MACHINE.link not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    )
    assert kubectl.succeeds("get", "node", MACHINE.name), "Kubernetes still believes in it"

    machines.add(MACHINE.name)
    assert kubectl.is_ready(MACHINE.name)


def kill(folder: Path, name: str) -> processes.Record:
    record = processes.read(processes.records(folder) / name)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    poll.until(lambda: not record.is_alive(), what=f"{name} has ended", within_s=30)
    return record


def container_of(api: kube.Api, namespace: str, pod: str) -> str:
    return str(api.get("Pod", pod, namespace)["status"]["containerStatuses"][0]["containerID"])


def cluster(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dev.cluster", command], capture_output=True, text=True, check=False
    )


def audited(what: str) -> Iterator[dict[str, Any]]:
    for line in audit.lines(what):
        yield json.loads(line)
