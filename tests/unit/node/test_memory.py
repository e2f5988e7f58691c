"""What may still be taken: of the machine, and of every control group around the process."""

from pathlib import Path

import pytest

from kvring_node import memory

MI = 1 << 20


def proc(folder: Path, groups: str, available: int = 1000 * MI) -> Path:
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(
        f"MemTotal: 9999999 kB\nMemFree: 1 kB\nMemAvailable: {available // 1024} kB\n"
    )
    (folder / "proc/self/cgroup").write_text(groups)
    return folder / "proc"


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(f"{content}\n")


def stat(name: str, size: int) -> str:
    return f"anon 5\n{name} {size}\nactive_file 7"


def test_without_a_limit_it_is_what_the_machine_has_left(tmp_path: Path) -> None:
    group(tmp_path / "groups/a", max="max", high="max", current=5, stat=stat("inactive_file", 0))

    assert memory.free_bytes(proc(tmp_path, "0::/a\n"), tmp_path / "groups") == 1000 * MI


@pytest.mark.parametrize("path", ["/", "/kubepods/of-the-host/pod"])
def test_a_container_sees_its_own_group_at_the_root_whatever_its_path_is_called(
    path: str, tmp_path: Path
) -> None:
    stats = stat("inactive_file", 100 * MI)
    group(tmp_path / "groups", max=600 * MI, high="max", current=300 * MI, stat=stats)

    assert memory.free_bytes(proc(tmp_path, f"0::{path}\n"), tmp_path / "groups") == 400 * MI


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    stats = stat("inactive_file", 0)
    group(tmp_path / "groups/pod", max=500 * MI, high="max", current=450 * MI, stat=stats)
    group(tmp_path / "groups/pod/node", max=400 * MI, high="max", current=100 * MI, stat=stats)

    assert memory.free_bytes(proc(tmp_path, "0::/pod/node\n"), tmp_path / "groups") == 50 * MI


def test_a_group_is_slowed_down_from_its_high_mark_on(tmp_path: Path) -> None:
    stats = stat("inactive_file", 0)
    group(tmp_path / "groups", max=500 * MI, high=200 * MI, current=50 * MI, stat=stats)

    assert memory.free_bytes(proc(tmp_path, "0::/\n"), tmp_path / "groups") == 150 * MI


@pytest.mark.parametrize("path", ["/", "/docker/abc"])
def test_the_first_version_of_control_groups_says_it_in_other_files(path: str, tmp_path: Path) -> None:
    group(
        tmp_path / "groups/memory",
        limit_in_bytes=600 * MI,
        usage_in_bytes=300 * MI,
        stat=stat("total_inactive_file", 100 * MI),
    )
    text = f"12:cpu,cpuacct:/x\n9:memory:{path}\n0::/system.slice\n"

    assert memory.free_bytes(proc(tmp_path, text), tmp_path / "groups") == 400 * MI


def test_the_machine_may_have_less_than_the_group_allows(tmp_path: Path) -> None:
    group(tmp_path / "groups", max=600 * MI, high="max", current=0, stat=stat("inactive_file", 0))

    assert memory.free_bytes(proc(tmp_path, "0::/\n", 70 * MI), tmp_path / "groups") == 70 * MI


def test_a_group_that_is_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    group(tmp_path / "groups", max=600 * MI, high="max", current=700 * MI, stat=stat("inactive_file", 0))

    assert memory.free_bytes(proc(tmp_path, "0::/\n"), tmp_path / "groups") == 0


def test_this_machine_can_be_asked() -> None:
    assert 0 < memory.free_bytes() < 1 << 50
