"""A machine is drained, cut off, and lost: its member is replaced elsewhere, and no slot is served twice."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from dev import build, paths
from dev.cluster import kubectl, machines
from tests.support import kube, pools, release, second_machine, traffic

pytestmark = pytest.mark.cluster

NOTICED_S = 40.0 + 60.0
"""The grace after which Kubernetes calls a silent machine NotReady, and some time to say so."""
MOVED_S = 150.0


@dataclass
class Watcher:
    """Looks at the pods at every poll of a wait, and remembers slots that two of them served at once."""

    pool: pools.Pool
    served_twice: list[str] = field(default_factory=list)

    def look(self) -> kube.Object:
        serving = Counter(
            pod["metadata"]["labels"]["kvring.dev/slot"] for pod in self.pool.pods() if on_ring(pod)
        )
        self.served_twice += [slot for slot, num_pods in serving.items() if num_pods > 1]
        return self.pool.resource()


def on_ring(pod: kube.Object) -> bool:
    return kube.condition_of(pod, "kvring.dev/ring-member").get("status") == "True"


@pytest.fixture(scope="module")
def machine(api: kube.Api, kvring: release.Release) -> Iterator[str]:
    (container,) = kvring.deployment()["spec"]["template"]["spec"]["containers"]
    image = next(entry["value"] for entry in container["env"] if entry["name"] == "KVRING_NODE_IMAGE")
    with second_machine.added(api, image) as name:
        yield name


@pytest.fixture
def moving(pool: pools.Pool, machine: str) -> pools.Pool:
    """A pool whose one member is on the second machine."""
    second_machine.wait_open(pool.api)
    pool.apply(second_machine.SPEC).wait_ready()
    assert places(pool) == {"chat-0-1": machine}
    pool.ask_until_answered()
    return pool


def places(pool: pools.Pool) -> dict[str, str]:
    """Every pod of the pool, whatever its state, and its machine."""
    return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pool.pods()}


def moved(found: kube.Object) -> bool:
    """Whether the one member serves from m1, and all is quiet."""
    return pools.settled(found, 1) and [member["machine"] for member in found["status"]["members"]] == ["m1"]


def evict(pool: pools.Pool, pod: str) -> None:
    """As `kubectl drain` does for each pod."""
    meta = {"name": pod, "namespace": pool.namespace}
    path = f"/api/v1/namespaces/{pool.namespace}/pods/{pod}/eviction"
    pool.api.request("POST", path, json={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta})


def drain(machine: str, pool: pools.Pool) -> subprocess.CompletedProcess[str]:
    """`kubectl drain` of the pool's pods; it tries again for as long as it is refused."""
    program = str(build.program(build.KUBERNETES, "kubectl"))
    words = [program, f"--kubeconfig={paths.kubeconfig()}", "drain", machine, "--delete-emptydir-data"]
    words += [f"--pod-selector=kvring.dev/cluster={pool.name}", f"--timeout={MOVED_S:.0f}s"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_drain_is_refused_until_the_member_has_a_successor_elsewhere(
    moving: pools.Pool, machine: str
) -> None:
    with pytest.raises(kube.Refused, match="disruption budget") as refused:
        evict(moving, "chat-0-1")
    assert refused.value.code == 429

    with traffic.flowing(moving, paths.kubeconfig()) as seen:
        seen.flows(3)
        try:
            drained = drain(machine, moving)
            moving.wait(moved, "the member has moved", MOVED_S)
            seen.flows(3)
        finally:
            kubectl.run("uncordon", machine)
    assert drained.returncode == 0, drained.stderr
    assert "would violate the pod's disruption budget" in drained.stderr
    assert places(moving) == {"chat-0-2": "m1"}
    assert not seen.failures


def test_of_a_machine_that_is_cut_off_the_status_is_true_and_no_slot_is_served_twice(
    moving: pools.Pool, machine: str
) -> None:
    watcher = Watcher(moving)
    machines.partition(machine)
    try:
        found = moving.until(
            watcher.look,
            # The machine is unheard of first; its pods are marked unready one after another.
            lambda found: (
                kube.condition_of(found, "Degraded").get("reason") == "MachineAway"
                and found["status"]["readyReplicas"] == 0
            ),
            "the status tells that the machine is away, and that nobody is ready",
            NOTICED_S,
        )
        assert kube.condition_of(found, "Ready")["status"] == "False"
        moving.until(watcher.look, moved, "a successor serves elsewhere", MOVED_S)
        moving.ask_until_answered()
    finally:
        machines.heal(machine)
    moving.until(
        lambda: (watcher.look(), places(moving))[1],
        lambda placed: placed == {"chat-0-2": "m1"},
        "the machine that is back holds no pod of the pool",
        MOVED_S,
    )
    moving.wait(moved, "nothing goes on")
    assert not watcher.served_twice


def test_a_machine_that_is_lost_for_good_is_replaced_and_leaves_no_pod_behind(
    moving: pools.Pool, machine: str
) -> None:
    """Last of the file: it takes the machine with it."""
    watcher = Watcher(moving)
    machines.lose(machine)
    kubectl.run("delete", "node", machine)
    moving.until(watcher.look, moved, "a successor serves elsewhere", MOVED_S)
    moving.until(lambda: places(moving), lambda placed: placed == {"chat-0-2": "m1"}, "no other pod is left")
    moving.ask_until_answered()
    assert not watcher.served_twice
