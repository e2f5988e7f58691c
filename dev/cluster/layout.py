"""Addresses and machines of the local cluster.

The first machine, m1, is this host itself; further ones live in network namespaces. All addresses are in
private ranges that few hosts use; nothing is bound to 0.0.0.0.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from dev import failure, paths

ADDRESS = "10.250.0.1"  # of m1, on `lo`: the API server refuses to advertise 127.0.0.0/8
MACHINE_RANGE = "10.250.0.0/16"
POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"
RANGES = (MACHINE_RANGE, POD_RANGE, SERVICE_RANGE)
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
DNS_PORT = 10053
DOMAIN = "cluster.local"
API_PORT = 6443
API_URL = f"https://{ADDRESS}:{API_PORT}"
REGISTRY_PORT = 10500  # not 5000: there Debian's docker-registry listens, started by its installation
REGISTRY = f"{ADDRESS}:{REGISTRY_PORT}"
MAX_MACHINES = 9


@dataclass(frozen=True, order=True)
class Machine:
    """A Kubernetes node of the local cluster; number 1 is the host."""

    number: int

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return f"m{self.number}"

    @property
    def is_host(self) -> bool:
        """Whether it is the host itself."""
        return self.number == 1

    @property
    def address(self) -> str:
        """Its own address."""
        return ADDRESS if self.is_host else f"10.250.{self.number}.2"

    @property
    def gateway(self) -> str:
        """The host's end of its link."""
        return f"10.250.{self.number}.1"

    @property
    def link(self) -> str:
        """Name of the host's end of its link."""
        return f"kvring{self.number}"

    @property
    def pod_range(self) -> str:
        """Addresses of its pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def cgroup(self) -> str:
        """Parent of all cgroups of its pods, below each hierarchy's root."""
        return f"kvring-{self.name}"

    @property
    def folder(self) -> Path:
        """Its state; exists while the machine is part of the cluster."""
        return paths.machine(self.name)

    @property
    def namespace(self) -> Path:
        """File on which its network namespace is mounted."""
        return self.folder / "netns"

    @property
    def containerd_socket(self) -> Path:
        """Where its containerd listens."""
        return self.folder / "containerd.sock"

    def enter(self) -> tuple[str, ...]:
        """Words to put before a command so that it runs in the machine's network.

        Not `ip netns exec`: that hides /sys/fs/cgroup.
        """
        return () if self.is_host else ("nsenter", f"--net={self.namespace}")


HOST = Machine(1)


def named(name: str) -> Machine:
    """The machine called `name`.

    Raises:
        Failure: no machine can be called so.
    """
    if not re.fullmatch(rf"m[1-{MAX_MACHINES}]", name):
        raise failure.Failure(f"{name!r} is no machine's name", f"machines are called m1 to m{MAX_MACHINES}")
    return Machine(int(name[1:]))


def present() -> list[Machine]:
    """The machines that are part of the cluster now, whether they work or not."""
    if not (paths.run() / "machines").is_dir():
        return []
    return sorted(named(folder.name) for folder in (paths.run() / "machines").iterdir())
