"""What is mounted beneath a folder of ours."""

import re
from pathlib import Path

from dev import commands
from dev.failure import Failure


def beneath(folder: Path) -> list[Path]:
    """Mount points inside the folder, the innermost and newest first."""
    return listed(Path("/proc/self/mountinfo").read_text(), folder)


def listed(table: str, folder: Path) -> list[Path]:
    """The same for the text of a mountinfo file, whose lines are in the order of mounting."""
    points = [Path(_unescape(line.split()[4])) for line in table.splitlines()]
    return [point for point in reversed(points) if folder in point.parents]


def detach(folder: Path) -> None:
    """Unmounts everything inside the folder, also what is in use.

    Raises:
        Failure: something is still mounted; nothing in the folder may be deleted then, it could be someone's.
    """
    for point in beneath(folder):
        commands.succeeds(["umount", "--lazy", point])
    if left := beneath(folder):
        raise Failure(f"{left[0]} cannot be unmounted", f"unmount it by hand (umount {left[0]}), then repeat")


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
