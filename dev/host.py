"""What the local cluster needs of its host beyond programs: kernel, disk, addresses, ports."""

import ipaddress
import json
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from dev import commands, paths
from dev.cluster import cgroups, layout, machine_parts
from dev.failure import Failure

GIB = 2**30
# Of a first run, at its peak: 13 of compilers' and wheels' caches, 21 while buildah holds several copies of
# the node's layer of 6 (torch for CUDA).
DISK_BYTES = 34 * GIB
PARTS_BUILT_BYTES = 3 * GIB
MAX_SOCKET_CHARS = 107  # unix(7)
IP_FREEBIND = 15  # of Linux: binds to an address that the host has not got yet
# Those that another Kubernetes, or a registry, takes on all addresses of a host.
PORTS = (layout.API_PORT, layout.REGISTRY_PORT, machine_parts.KUBELET_PORT, machine_parts.PROXY_HEALTH_PORT)


def check() -> None:
    """Looks at all of it.

    Raises:
        Failure: something is missing, with how to get it.
    """
    for law in LAWS:
        law()


def _kernel_has_nftables() -> None:
    if not commands.succeeds(["nft", "list", "tables"]):
        raise Failure(
            "this kernel has no nftables, by which kube-proxy makes Services reachable",
            "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES",
        )


def _kernel_has_cgroups() -> None:
    if missing := cgroups.missing_controllers():
        raise Failure(
            f"these cgroup controllers are not available: {', '.join(missing)}",
            "enable them on the kernel's command line (cgroup_enable=…), or mount /sys/fs/cgroup",
        )


def _disk_is_large_enough() -> None:
    paths.home().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(paths.home()).free
    needed = PARTS_BUILT_BYTES if paths.binaries().exists() else DISK_BYTES
    if free < needed:
        raise Failure(
            f"{free / GIB:.0f} GiB are free at {paths.home()}, {needed / GIB:.0f} are needed",
            "make room, or set KVRING_HOME to a folder on another disk",
        )


def _sockets_have_short_paths() -> None:
    longest = layout.HOST.folder / "kubelet/device-plugins/kubelet.sock"
    if len(str(longest)) > MAX_SOCKET_CHARS:
        raise Failure(
            f"{paths.home()} is too long a path: the address of a socket below it would have "
            f"{len(str(longest))} characters of at most {MAX_SOCKET_CHARS}",
            "set KVRING_HOME to a shorter one",
        )


def _disk_takes_an_overlay() -> None:
    """Images are unpacked as overlays, which some file systems refuse: an overlay itself, for one."""
    with tempfile.TemporaryDirectory(dir=paths.home()) as folder:
        lower, upper, work, merged = (Path(folder) / name for name in ("lower", "upper", "work", "merged"))
        for made in (lower, upper, work, merged):
            made.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        commands.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, merged],
            remedy="container images need overlayfs: modprobe overlay; if this host is itself a container: "
            "it has to be --privileged, and KVRING_HOME a volume, since a container's own disk is an overlay",
        )
        commands.run(["umount", merged])


def _addresses_are_free() -> None:
    if paths.run().exists():
        return  # they are taken, by our own cluster
    ranges = [ipaddress.ip_network(text) for text in layout.RANGES]
    for interface in json.loads(commands.run(["ip", "-json", "-4", "address", "show"])):
        for entry in interface["addr_info"]:
            if any(ipaddress.ip_address(entry["local"]) in taken for taken in ranges):
                raise Failure(
                    f"{entry['local']} on {interface['ifname']} lies in a range that the local cluster uses",
                    "another local cluster may run from another KVRING_HOME: end it there (make down); "
                    f"if not, free {', '.join(layout.RANGES)}, or edit dev/cluster/layout.py",
                )


def _ports_are_free() -> None:
    if paths.run().exists():
        return
    for port in PORTS:
        if not is_free(layout.ADDRESS, port):
            raise Failure(
                f"a program listens on port {port} of all of this host's addresses",
                f"`ss -ltnp sport = :{port}` names it: end it; "
                "if it is a Kubernetes, give that one to kvring: CLUSTER=context IMAGES=registry make run",
            )


def is_free(address: str, port: int) -> bool:
    """Whether a program could listen there, once the host has the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError:
            return False
    return True


LAWS: tuple[Callable[[], None], ...] = (
    _kernel_has_nftables,
    _kernel_has_cgroups,
    _disk_is_large_enough,
    _sockets_have_short_paths,
    _disk_takes_an_overlay,
    _addresses_are_free,
    _ports_are_free,
)
