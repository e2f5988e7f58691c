from pathlib import Path

from dev.cluster import mounts

TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:20 / /run/kvring/m1 rw - tmpfs tmpfs rw
31 30 0:21 / /run/kvring/m1/pods/a rw - tmpfs tmpfs rw
32 30 0:22 / /run/kvring/m1/with\\040space rw - tmpfs tmpfs rw
33 22 0:23 / /run/kvring-other/x rw - tmpfs tmpfs rw
34 31 0:24 / /run/kvring/m1/pods/a/b rw - tmpfs tmpfs rw
"""


def test_what_is_mounted_last_comes_first_and_neighbours_stay_out() -> None:
    assert mounts.listed(TABLE, Path("/run/kvring/m1")) == [
        Path("/run/kvring/m1/pods/a/b"),
        Path("/run/kvring/m1/with space"),
        Path("/run/kvring/m1/pods/a"),
    ]


def test_nothing_is_mounted_beneath_an_ordinary_folder(tmp_path: Path) -> None:
    assert mounts.beneath(tmp_path) == []
