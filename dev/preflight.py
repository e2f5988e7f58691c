"""What this host has to have: looks, installs what it can, says how to get the rest.

`python -m dev.preflight` looks only and prints what is missing.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev import commands, failure, host, progress
from dev.cluster import machine_parts

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

STARTED = frozenset({"containerd", "docker-registry"})  # by their installation, as services of the host


def ensure(programs: Sequence[Program]) -> None:
    """Installs missing programs where that is possible, then checks the host.

    Raises:
        Failure: something is missing that this cannot mend.
    """
    os.environ["PATH"] = SYSTEM_PATH
    if os.geteuid() != 0:
        raise failure.Failure(
            "the local cluster needs root: it makes containers, network links and mounts",
            "run it as root (sudo -E make …); without: `make verify`, which needs no cluster, "
            "and on a cluster of your own CLUSTER=context IMAGES=registry make run",
        )
    install(programs)
    host.check()


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
    by_hand = "install: " + ", ".join(
        f"{program.name} (of Debian's {program.package})" for program in missing
    )
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
    for package in STARTED.intersection(packages):  # the cluster runs its own; nobody asked for these
        commands.succeeds(["systemctl", "disable", "--now", f"{package}.service"])
    still = [program.name for program in missing if not program.is_there()]
    if still:
        raise failure.Failure(f"{', '.join(still)} did not come with {' '.join(packages)}", by_hand)


def main() -> int:
    """Prints what is missing; 0 if nothing is."""
    missing = [program for program in CLUSTER if not program.is_there()]
    for program in missing:
        print(f"missing: {program.name}, from the package {program.package}")
    if missing:
        return 1
    try:
        host.check()
    except failure.Failure as failed:
        print(failed)
        return 1
    print("nothing is missing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
