"""Adds machines to the running cluster, cuts them off, mends them, loses them. Tests call these functions.

machines.add("m2")        a second machine, Ready when the call returns
machines.partition("m2")  its kubelet and pods run on, unheard
machines.heal("m2")       it is heard again
machines.lose("m2")       as if its power went: nothing of it runs; Kubernetes still believes in it
machines.remove("m2")     tidy: Kubernetes forgets it as well
"""

import datetime
import functools
import shutil
from pathlib import Path

from dev import paths
from dev.cluster import (
    cgroups,
    containers,
    kubectl,
    layout,
    machine_parts,
    mounts,
    network,
    pki,
    processes,
    wait,
)
from dev.cluster.layout import Machine
from dev.cluster.processes import Outcome
from dev.failure import Failure

READY_S = 60.0
LOG_LINKS = Path("/var/log/containers")  # every kubelet links its containers' logs there
CNI_TRACES = Path("/var/lib/cni/results")  # what CNI plugins answered, by network


def add(name: str) -> dict[str, Outcome]:
    """Makes the machine part of the cluster and waits until it is Ready; mends it if it is there already.

    Returns:
        What was found and done for each of its programs.
    """
    machine = layout.named(name)
    began_at = _now()
    outcomes = start(machine)
    wait_ready(machine, outcomes, began_at)
    return outcomes


def start(machine: Machine) -> dict[str, Outcome]:
    """Starts what does not run of a machine; does not wait for the kubelet."""
    is_new = not (machine.folder / "processes").exists()
    machine.folder.mkdir(parents=True, exist_ok=True)
    paths.pulled(machine.name).mkdir(parents=True, exist_ok=True)
    pki.make_machine(machine, _now())
    network.connect(machine)
    cgroups.make(machine.cgroup)
    runtime, *rest = machine_parts.parts(machine)
    outcomes = {runtime.name: processes.ensure(runtime)}
    processes.wait_ready(runtime)
    if is_new and containers.forget(machine):
        # It read about containers of an earlier life before they were removed.
        processes.stop(runtime.record)
        processes.ensure(runtime)
        processes.wait_ready(runtime)
    containers.give_pause_image(machine)
    return outcomes | {part.name: processes.ensure(part) for part in rest}


def wait_ready(machine: Machine, outcomes: dict[str, Outcome], began_at: datetime.datetime) -> None:
    """Returns when the machine's programs answer and Kubernetes calls it Ready.

    A kubelet started after `began_at` has to say so itself: what Kubernetes believes may be of before.
    """
    for part in machine_parts.parts(machine):
        processes.wait_ready(part)
    said_after = None if outcomes["kubelet"] is Outcome.RUNNING else began_at.replace(microsecond=0)
    remedy = f"read {machine.folder / 'logs' / 'kubelet.log'}"
    is_ready = functools.partial(kubectl.is_ready, machine.name, said_after)
    wait.until(is_ready, f"{machine.name} Ready", READY_S, lambda: remedy)


def partition(name: str) -> None:
    """Cuts the machine off the network. Kubernetes notices after 40 s."""
    network.cut(_present(name))


def heal(name: str) -> None:
    """Connects the machine again."""
    network.connect(_present(name))


def lose(name: str) -> None:
    """Ends everything on the machine at once; its pulled images stay for the next machine of this name."""
    machine = _present(name)
    processes.stop_all(machine.folder, term_s=0)
    clear(machine)


def remove(name: str) -> None:
    """Loses the machine and makes Kubernetes forget it, with the pods that were on it."""
    lose(name)
    kubectl.run("delete", "node", name, "--ignore-not-found")
    on_it = f"--field-selector=spec.nodeName={name}"
    kubectl.run("delete", "pods", "--all-namespaces", on_it, "--force", "--grace-period=0")


def stop(machine: Machine) -> None:
    """Ends a machine in good order: first those who would start pods again, then the pods, then the rest."""
    processes.stop_all(machine.folder, ("kubelet", "kube-proxy"))
    runtime = machine_parts.containerd(machine)
    if processes.is_running(runtime) and runtime.ready():
        containers.forget(machine)
    processes.stop_all(machine.folder)
    clear(machine)


def clear(machine: Machine) -> None:
    """Removes all that a machine leaves behind when its programs have ended. Can be repeated."""
    containers.end_shims(machine)
    cgroups.remove(machine.cgroup)
    network.remove(
        machine
    )  # before its namespace goes with its mount, and takes the link with it at some moment
    mounts.detach(machine.folder)
    for link in LOG_LINKS.glob("*"):
        if link.is_symlink() and machine.folder in link.readlink().parents:
            link.unlink()
    network_name = machine_parts.network_name(machine)
    for trace in CNI_TRACES.glob(f"{network_name}-*-eth0"):
        container = trace.name.removeprefix(f"{network_name}-").removesuffix("-eth0")
        (CNI_TRACES / f"cni-loopback-{container}-lo").unlink(missing_ok=True)
        trace.unlink()
    shutil.rmtree(machine.folder)


def _present(name: str) -> Machine:
    machine = layout.named(name)
    if machine.is_host:
        raise Failure("m1 is this host itself", "add a machine (make up MACHINES=2) and take that one")
    if machine not in layout.present():
        raise Failure(f"the cluster has no machine {name}", f"python -m dev.cluster add {name}")
    return machine


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
