"""What this host has to have: looks, installs what it can, says how to get the rest.

`python -m dev.preflight` looks only and prints what is missing.
"""

import ipaddress
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev import commands, failure, paths, progress
from dev.cluster import cgroups, layout, machine_parts

GIB = 2**30
DISK_BYTES = 25 * GIB
PARTS_BUILT_BYTES = 3 * GIB
# Debian keeps administrators' programs out of a user's PATH.
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Program:
    """A program that has to be there, or a file, and the Debian package that brings it."""

    name: str
    package: str

    def is_there(self) -> bool:
        """Whether it is installed."""
        return (
            Path(self.name).exists()
            if self.name.startswith("/")
            else bool(shutil.which(self.name, path=SYSTEM_PATH))
        )


CLUSTER = (
    Program("containerd", "containerd"),
    Program("ctr", "containerd"),
    Program("runc", "runc"),
    Program(str(machine_parts.CNI_PLUGINS / "ptp"), "containernetworking-plugins"),
    Program("docker-registry", "docker-registry"),
    Program("conntrack", "conntrack"),
    Program("curl", "curl"),
    Program("nft", "nftables"),
    Program("ip", "iproute2"),
    Program("nsenter", "util-linux"),
    Program("mount", "mount"),
)


def ensure(programs: Sequence[Program]) -> None:
    """Installs missing programs where that is possible, then checks the host.

    Raises:
        Failure: something is missing that this cannot mend.
    """
    os.environ["PATH"] = SYSTEM_PATH
    if os.geteuid() != 0:
        raise failure.Failure(
            "the local cluster needs root: it makes containers, network links and mounts",
            "run it as root (sudo -E make …), or on your own: CLUSTER=context IMAGES=registry make run",
        )
    install(programs)
    for check in CHECKS:
        check()


def install(programs: Sequence[Program]) -> None:
    """Installs those that are missing, where that is possible.

    Raises:
        Failure: one is missing still.
    """
    missing = [program for program in programs if not program.is_there()]
    if missing:
        _install(missing)


def _install(missing: Sequence[Program]) -> None:
    packages = sorted({program.package for program in missing})
    by_hand = f"install: {', '.join(sorted(program.name for program in missing))}"
    if not shutil.which("apt-get"):
        raise failure.Failure(
            "programs are missing, and this host has no apt-get to install them with", by_hand
        )
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    with progress.step(f"install {' '.join(packages)}"):
        commands.run([*apt, "update"], env=env, timeout_s=600, remedy=by_hand)
        commands.run(
            [*apt, "install", "--no-install-recommends", *packages], env=env, timeout_s=1800, remedy=by_hand
        )
    still = [program.name for program in missing if not program.is_there()]
    if still:
        raise failure.Failure(f"{', '.join(still)} did not come with {' '.join(packages)}", by_hand)


def _kernel_has_nftables() -> None:
    if not commands.succeeds(["nft", "list", "tables"]):
        raise failure.Failure(
            "this kernel has no nftables, by which kube-proxy makes Services reachable",
            "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES",
        )


def _kernel_has_overlay() -> None:
    if not _has_file_system("overlay"):
        commands.succeeds(["modprobe", "overlay"])
    if not _has_file_system("overlay"):
        raise failure.Failure(
            "this kernel has no overlayfs, of which container images are made", "modprobe overlay"
        )


def _has_file_system(name: str) -> bool:
    return name in Path("/proc/filesystems").read_text().split()


def _kernel_has_cgroups() -> None:
    if missing := cgroups.missing_controllers():
        raise failure.Failure(
            f"these cgroup controllers are not available: {', '.join(missing)}",
            "enable them on the kernel's command line (cgroup_enable=…), or mount /sys/fs/cgroup",
        )


def _disk_is_large_enough() -> None:
    paths.home().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(paths.home()).free
    needed = PARTS_BUILT_BYTES if paths.binaries().exists() else DISK_BYTES
    if free < needed:
        raise failure.Failure(
            f"{free / GIB:.0f} GiB are free at {paths.home()}, {needed / GIB:.0f} are needed",
            "make room, or set KVRING_HOME to a folder on another disk",
        )


def _addresses_are_free() -> None:
    if paths.run().exists():
        return  # they are taken, by our own cluster
    ranges = [ipaddress.ip_network(text) for text in layout.RANGES]
    for interface in json.loads(commands.run(["ip", "-json", "-4", "address", "show"])):
        for entry in interface["addr_info"]:
            if any(ipaddress.ip_address(entry["local"]) in taken for taken in ranges):
                raise failure.Failure(
                    f"{entry['local']} on {interface['ifname']} lies in a range that the local cluster uses",
                    "another local cluster may run from another KVRING_HOME: end it there (make down); "
                    f"if not, free {', '.join(layout.RANGES)}, or edit dev/cluster/layout.py",
                )


def _forwarding_is_allowed() -> None:
    try:
        chain = commands.run(["nft", "list", "chain", "ip", "filter", "FORWARD"])
    except failure.Failure:
        return  # no such chain, so nothing is filtered
    if drops_pods(chain):
        rules = (f"iptables -I FORWARD {side} {layout.POD_RANGE} -j ACCEPT" for side in ("-s", "-d"))
        raise failure.Failure(
            "this host's firewall (Docker sets it so) drops forwarded packets: pods cannot reach each other",
            "; ".join(rules),
        )


def drops_pods(chain: str) -> bool:
    """Whether the host's FORWARD chain, as nft lists it, drops by default and makes no exception for pods."""
    return "policy drop" in chain and layout.POD_RANGE not in chain


CHECKS: tuple[Callable[[], None], ...] = (
    _kernel_has_nftables,
    _kernel_has_overlay,
    _kernel_has_cgroups,
    _disk_is_large_enough,
    _addresses_are_free,
    _forwarding_is_allowed,
)


def main() -> int:
    """Prints what is missing; 0 if nothing is."""
    missing = [program for program in CLUSTER if not program.is_there()]
    for program in missing:
        print(f"missing: {program.name}, from the package {program.package}")
    if missing:
        return 1
    try:
        for check in CHECKS:
            check()
    except failure.Failure as failed:
        print(failed)
        return 1
    print("nothing is missing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
