"""`up` and `down`: the whole cluster, from nothing or from whatever a crash left, and back to nothing."""

import datetime
import shutil
from pathlib import Path

from dev import alone, build, paths, preflight, progress
from dev.cluster import (
    control_plane,
    kubectl,
    layout,
    machines,
    mounts,
    network,
    objects,
    pki,
    processes,
    wait,
)
from dev.cluster.layout import Machine
from dev.cluster.processes import Component, Outcome

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ACCOUNT_S = 30.0
NAMESPACE_S = 30.0


def up(num_machines: int) -> None:
    """Starts what does not run, in order, and waits until it is ready. Can be interrupted and repeated."""
    preflight.ensure(preflight.CLUSTER)
    build.everything()
    with alone.holding(_lock()):
        if _is_of_earlier_boot():
            _down()
        processes.raise_limits()
        _prepare()
        _start_control_plane()
        wanted = {Machine(number) for number in range(1, num_machines + 1)}
        for machine in sorted(wanted | set(layout.present())):
            _start_machine(machine)
        with progress.step("service account of the namespace `default`"):
            wait.until(
                _has_account, "service account `default`", ACCOUNT_S, lambda: f"read {paths.run() / 'logs'}"
            )


def down() -> bool:
    """Ends the cluster and forgets its objects; what was built and pulled stays. Whether there was one."""
    with alone.holding(_lock()):
        if not paths.run().exists():
            return False
        _down()
        return True


def _prepare() -> None:
    for folder in (paths.run(), paths.registry(), paths.models()):
        folder.mkdir(parents=True, exist_ok=True)
    _boot_mark().write_text(BOOT_ID.read_text())
    network.prepare_host()
    now = datetime.datetime.now(datetime.UTC)
    pki.make_control_plane(now)
    pki.make_machine(layout.HOST, now)


def _start_control_plane() -> None:
    store, server, deciders = control_plane.stages()
    _start_stage(store)
    _start_stage(server)
    with progress.step("objects of a stock cluster"):
        wait.until(_has_namespace, "namespace kube-system", NAMESPACE_S)
        kubectl.apply(objects.all_objects())
    _start_stage(deciders)


def _has_namespace() -> bool:
    return kubectl.succeeds("get", "namespace", "kube-system")


def _has_account() -> bool:
    """Pods cannot be made before their namespace's service account."""
    return kubectl.succeeds("get", "serviceaccount", "default", "--namespace=default")


def _start_stage(stage: tuple[Component, ...]) -> None:
    with progress.step(", ".join(component.name for component in stage)) as step:
        _tell(step, {component.name: processes.ensure(component) for component in stage})
        for component in stage:
            processes.wait_ready(component)


def _start_machine(machine: Machine) -> None:
    with progress.step(f"machine {machine.name}: containerd, kubelet, kube-proxy") as step:
        if network.is_cut_on_purpose(machine):
            step.note(f"is cut off, left so (make heal MACHINE={machine.name})")
            return
        began_at = datetime.datetime.now(datetime.UTC)
        outcomes = machines.start(machine)
        _tell(step, outcomes)
        machines.wait_ready(machine, outcomes, began_at)


def _tell(step: progress.Step, outcomes: dict[str, Outcome]) -> None:
    told = (Outcome.MENDED, Outcome.CHANGED)
    changes = [f"{name} {outcome}" for name, outcome in outcomes.items() if outcome in told]
    if changes:
        step.note("; ".join(changes))
    elif set(outcomes.values()) == {Outcome.RUNNING}:
        step.note("was running")


def _down() -> None:
    for machine in reversed(layout.present()):
        with progress.step(f"end machine {machine.name} and its pods"):
            machines.stop(machine)
    with progress.step("end the control plane, restore the host's settings"):
        processes.stop_all(paths.run(), ("registry",))
        processes.stop_all(paths.run(), term_s=0)  # what the others hold is forgotten anyway
        network.restore_host()
        mounts.detach(paths.run())
        shutil.rmtree(paths.run())


def _is_of_earlier_boot() -> bool:
    """Whether the host has restarted since the run's state was made: nothing of it can still be running."""
    return _boot_mark().exists() and _boot_mark().read_text() != BOOT_ID.read_text()


def _boot_mark() -> Path:
    return paths.run() / "boot-id"


def _lock() -> Path:
    """One `up` or `down` at a time."""
    return paths.home() / "run.lock"
