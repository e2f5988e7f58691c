from pathlib import Path

import pytest
from dev.cluster import cgroups


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for hierarchy in ("cpu", "cpuset", "memory", "pids", "unified"):
        (tmp_path / hierarchy / "kvring-m1").mkdir(parents=True)
        (tmp_path / hierarchy / "cgroup.procs").touch()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0\n")
    return tmp_path


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (tmp_path / "cgroup.subtree_control").touch()
    (tmp_path / "cgroup.procs").touch()
    return tmp_path


def test_version_1_gets_a_cgroup_in_every_hierarchy_and_a_filled_cpuset(version_1: Path) -> None:
    cgroups.make("kvring-m2", version_1)
    assert all((hierarchy / "kvring-m2").is_dir() for hierarchy in version_1.iterdir())
    assert (version_1 / "cpuset" / "kvring-m2" / "cpuset.cpus").read_text() == "0-1\n"
    assert (version_1 / "cpuset" / "kvring-m2" / "cpuset.mems").read_text() == "0\n"


def test_version_2_gets_one_cgroup_below_a_root_that_hands_its_controllers_down(version_2: Path) -> None:
    cgroups.make("kvring-m2", version_2)
    assert (version_2 / "kvring-m2").is_dir()
    assert (version_2 / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids +hugetlb"


def test_a_controller_that_the_kernel_has_not_is_not_asked_for(version_2: Path) -> None:
    (version_2 / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    cgroups.make("kvring-m2", version_2)
    assert (version_2 / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids"


def test_made_twice_is_made_once(version_1: Path) -> None:
    cgroups.make("kvring-m2", version_1)
    cgroups.make("kvring-m2", version_1)


def test_missing_controllers_are_named_in_version_1(version_1: Path) -> None:
    assert cgroups.missing_controllers(version_1) == []
    (version_1 / "pids").rename(version_1 / "gone")
    assert cgroups.missing_controllers(version_1) == ["pids"]


def test_missing_controllers_are_named_in_version_2(version_2: Path) -> None:
    assert cgroups.missing_controllers(version_2) == []
    (version_2 / "cgroup.controllers").write_text("cpu io")
    assert cgroups.missing_controllers(version_2) == ["cpuset", "memory", "pids"]


def test_a_cgroup_that_is_gone_already_is_removed(version_1: Path) -> None:
    cgroups.remove("kvring-m7", version_1)
