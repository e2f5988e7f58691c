"""The cgroups in which a machine's pods live: made before its kubelet, removed after it. Versions 1 and 2."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from dev.cluster import processes, wait
from dev.failure import Failure

ROOT = Path("/sys/fs/cgroup")
INNER = "init"  # as Docker's own images that run Docker inside call it
KUBELET_NEEDS = ("cpu", "cpuset", "memory", "pids")
KUBELET_USES = (*KUBELET_NEEDS, "hugetlb")
"""Of version 2: a kubelet does not start in a cgroup that lacks one of these which the host has."""
EMPTY_S = 10.0


def is_version_2(root: Path = ROOT) -> bool:
    """Whether this host has the one hierarchy of version 2."""
    return (root / "cgroup.controllers").exists()


def missing_controllers(root: Path = ROOT) -> list[str]:
    """Those that a kubelet needs and this host has not."""
    if is_version_2(root):
        offered = (root / "cgroup.controllers").read_text().split()
        return [name for name in KUBELET_NEEDS if name not in offered]
    return [name for name in KUBELET_NEEDS if not (root / name).is_dir()]


def make(name: str, root: Path = ROOT) -> None:
    """Makes the cgroup in every hierarchy and fills in what a child needs."""
    if is_version_2(root):
        _hand_down(root)
        (root / name).mkdir(exist_ok=True)
        return
    for hierarchy in _hierarchies(root):
        (hierarchy / name).mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):  # an empty cpuset takes no process
        (root / "cpuset" / name / setting).write_text((root / "cpuset" / setting).read_text())


def _hand_down(root: Path) -> None:
    """Lets the root's children have the controllers that a kubelet looks for."""
    offered = (root / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{controller}" for controller in KUBELET_USES if controller in offered)

    def is_handed_down() -> bool:
        try:
            (root / "cgroup.subtree_control").write_text(wanted)
        except OSError as refused:
            if refused.errno != errno.EBUSY:
                raise Failure(
                    f"the kernel does not hand down the cgroup controllers {wanted} ({refused.strerror})",
                    "run on the host itself, or in a container that is --privileged",
                ) from refused
            _move_processes(root, root / INNER)
            return False
        return True

    wait.until(is_handed_down, f"{root} without processes", EMPTY_S)


def _move_processes(source: Path, target: Path) -> None:
    """A container's root is no real one: it hands nothing down while it holds processes itself."""
    target.mkdir(exist_ok=True)
    for pid in _own_pids(source):
        try:
            (target / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            continue  # it ended by itself


def remove(name: str, root: Path = ROOT) -> None:
    """Kills what still runs in the cgroup and removes it."""
    tops = [hierarchy / name for hierarchy in _hierarchies(root) if (hierarchy / name).is_dir()]
    _kill_all(tops)
    for top in tops:
        for folder, _, _ in os.walk(top, topdown=False):
            Path(folder).rmdir()


def _kill_all(tops: list[Path]) -> None:
    """Whatever is in these cgroups is ours: kubelets put it there. Repeats, since it may be forking."""
    processes.kill_until_none(
        lambda: [pid for top in tops for pid in _pids(top)], f"processes in {tops}", EMPTY_S
    )


def _pids(top: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(top):
        yield from _own_pids(Path(folder))


def _own_pids(folder: Path) -> Iterator[int]:
    pids = (int(pid) for pid in (folder / "cgroup.procs").read_text().split())
    return (pid for pid in pids if pid > 0)  # 0 stands for a process of another pid namespace


def _hierarchies(root: Path) -> list[Path]:
    if is_version_2(root):
        return [root]
    return [path for path in root.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]
