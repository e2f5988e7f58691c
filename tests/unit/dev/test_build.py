import dataclasses
import os
import re

import pytest
from dev import build, paths, versions
from hypothesis import given
from hypothesis import strategies as st

REQUIRED = [part for part in build.PARTS if part.module]
FILES = {"go.mod": b"module m\n", "go.sum": b""}


@pytest.mark.parametrize("part", REQUIRED, ids=lambda part: part.name)
def test_go_mod_requires_the_version_of_versions_py(part: build.Part) -> None:
    required = re.findall(rf"^\s*(?:require )?{re.escape(part.module)} (\S+)", text(part), re.MULTILINE)
    assert required == [part.version], "python -m dev.pin"


@pytest.mark.parametrize("part", [part for part in REQUIRED if not part.is_ours], ids=lambda part: part.name)
def test_go_mod_names_the_programs_as_tools(part: build.Part) -> None:
    for _, package in part.programs:
        assert re.search(rf"^(tool |\t){re.escape(package)}$", text(part), re.MULTILINE), "python -m dev.pin"


def test_kubernetes_staging_modules_are_of_the_same_release() -> None:
    published = re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ (\S+)$", text(build.KUBERNETES), re.MULTILINE)
    assert len(published) > 25
    assert set(published) == {"v0." + versions.KUBERNETES.partition(".")[2]}


def test_the_key_stays_when_nothing_changes() -> None:
    again = dict(reversed(FILES.items()))
    assert build.fingerprint(build.ETCD, FILES) == build.fingerprint(build.ETCD, again)


@pytest.mark.parametrize(
    ("changed", "part", "files"),
    [
        ("a flag", dataclasses.replace(build.ETCD, stamps=("v=1",)), FILES),
        ("a package", dataclasses.replace(build.ETCD, programs=(("etcd", "x"),)), FILES),
        ("a line of go.sum", build.ETCD, FILES | {"go.sum": b"x"}),
        ("a new file", build.ETCD, FILES | {"main.go": b""}),
    ],
)
def test_the_key_changes_with(changed: str, part: build.Part, files: dict[str, bytes]) -> None:
    assert build.fingerprint(part, files) != build.fingerprint(build.ETCD, FILES), changed


@given(st.lists(st.dictionaries(st.text("ab.\n", max_size=3), st.binary(max_size=3)), min_size=2, max_size=2))
def test_different_files_never_share_a_key(pair: list[dict[str, bytes]]) -> None:
    one, other = (build.fingerprint(build.ETCD, files) for files in pair)
    assert (one == other) == (pair[0] == pair[1])


@pytest.mark.usefixtures("home")
def test_only_builds_that_nobody_asked_for_in_a_long_time_are_forgotten() -> None:
    now = 2_000_000_000.0
    fresh, stale = paths.built("pause", "a" * 12), paths.built("pause", "b" * 12)
    foreign = paths.built("etcd", "c" * 12)
    for folder, used_at in (
        (fresh, now - 60),
        (stale, now - build.KEPT_S - 60),
        (foreign, now - 2 * build.KEPT_S),
    ):
        folder.mkdir(parents=True)
        os.utime(folder, (used_at, used_at))

    build.forget_unused(build.PAUSE, now)

    assert fresh.exists()
    assert not stale.exists()
    assert foreign.exists()


def text(part: build.Part) -> str:
    return (part.folder / "go.mod").read_text()
