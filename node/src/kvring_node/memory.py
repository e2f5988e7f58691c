"""How much memory may still be taken: what the machine has left, or the control groups around the process.

Version 2 of control groups (one tree) and version 1 (a tree for memory) say it in files of other names. A
container sees its own group at the root of the mount, whatever the group is called outside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Files:
    """Of one group; `reclaimable` is the line of memory.stat with the file pages that go first."""

    limits: tuple[str, ...]
    used: str
    reclaimable: str


_V2 = _Files(("memory.max", "memory.high"), "memory.current", "inactive_file")
_V1 = _Files(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def free_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may take before the machine, or a group that it is in, has none left.

    Raises:
        OSError: this system does not say.
        LookupError, ValueError: it says it in a way that nobody knows.
    """
    machine = _numbers(proc / "meminfo")["MemAvailable:"] * 1024
    return max(0, min([machine, *_left(proc, groups)]))


def _left(proc: Path, groups: Path) -> Iterator[int]:
    for line in (proc / "self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left_in(groups, path, _V2)
        elif "memory" in controllers.split(","):
            yield from _left_in(groups / "memory", path, _V1)


def _left_in(mount: Path, path: str, files: _Files) -> Iterator[int]:
    """Of the group and of each one around it; a limit that is no number is none."""
    own = mount / path.lstrip("/")
    for folder in (own, *own.parents):
        if not folder.is_relative_to(mount) or not (folder / files.used).exists():
            continue
        used = int((folder / files.used).read_text()) - _numbers(folder / "memory.stat")[files.reclaimable]
        limits = ((folder / name).read_text().strip() for name in files.limits if (folder / name).exists())
        yield from (int(limit) - used for limit in limits if limit != "max")


def _numbers(path: Path) -> dict[str, int]:
    """First word of each line to the number after it."""
    return {words[0]: int(words[1]) for words in map(str.split, path.read_text().splitlines())}
