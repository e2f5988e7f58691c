"""With real processes: what is started, found, mended and ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dev.cluster import processes
from dev.cluster.processes import Component, Outcome
from dev.failure import Failure
from tests.support import poll

WAITS = "import signal, pathlib; pathlib.Path({ready!r}).touch(); signal.pause()"
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS
ENDS = "print('no such flag: --tea'); raise SystemExit(2)"
UNREAPED = """
import ctypes, pathlib, sys
from dev.cluster import processes
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
processes.ensure(processes.Component("short", pathlib.Path(sys.argv[1]), ("true",), ready=bool))
"""
"""As where process 1 of a container is a program that asks for no orphan's exit code."""


@pytest.fixture
def component(tmp_path: Path) -> Iterator[Component]:
    """A program that says when it is ready and then waits."""
    yield running(WAITS, tmp_path)
    processes.stop_all(tmp_path, term_s=0)


def running(source: str, folder: Path) -> Component:
    ready = folder / "ready"
    command = (sys.executable, "-c", source.format(ready=str(ready)))
    return Component("sleeper", folder, command, ready=ready.exists, ready_s=60)


def pid_of(component: Component) -> int:
    record = processes.read(component.record)
    assert record is not None
    return record.pid


def wait_gone(component: Component) -> None:
    poll.until(lambda: not processes.is_running(component), what="it has ended", within_s=60)


def test_the_first_call_starts_it_and_the_second_leaves_it_alone(component: Component) -> None:
    assert processes.ensure(component) is Outcome.STARTED
    processes.wait_ready(component)
    first = pid_of(component)
    assert processes.ensure(component) is Outcome.RUNNING
    assert pid_of(component) == first


def test_a_killed_one_is_started_again(component: Component) -> None:
    processes.ensure(component)
    os.kill(pid_of(component), signal.SIGKILL)
    wait_gone(component)
    assert processes.ensure(component) is Outcome.MENDED
    assert processes.is_running(component)


def test_new_settings_start_it_anew_and_end_the_old_one(component: Component, tmp_path: Path) -> None:
    processes.ensure(component)
    old = processes.read(component.record)
    changed = replace(component, files={tmp_path / "config": "colour: blue"})
    assert processes.ensure(changed) is Outcome.CHANGED
    assert old is not None
    assert not old.is_alive()
    assert (tmp_path / "config").read_text() == "colour: blue"


def test_it_is_nobodys_child(component: Component) -> None:
    processes.ensure(component)
    status = Path(f"/proc/{pid_of(component)}/status").read_text()
    assert f"PPid:\t{os.getpid()}\n" not in status
    assert os.getsid(pid_of(component)) != os.getsid(0)


def test_a_strict_umask_of_ours_is_not_its(component: Component) -> None:
    """containerd would make roots of containers that nobody but root may enter."""
    ours = os.umask(0o077)
    try:
        processes.ensure(component)
    finally:
        os.umask(ours)
    assert "Umask:\t0022\n" in Path(f"/proc/{pid_of(component)}/status").read_text()


def test_stop_asks_first_and_returns_when_it_is_gone(component: Component) -> None:
    processes.ensure(component)
    processes.wait_ready(component)
    processes.stop(component.record)
    assert not processes.is_running(component)
    assert not component.record.exists()


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = running(IGNORES_TERM, tmp_path)
    processes.ensure(deaf)
    processes.wait_ready(deaf)
    record = processes.read(deaf.record)
    processes.stop(deaf.record, term_s=0.2)
    assert record is not None
    assert not record.is_alive()


@pytest.mark.parametrize(
    ("whose", "change"),
    [
        ("a process that inherited the pid, told by its start", {"started": 1}),
        ("a process that inherited the pid, told by its program", {"executable": "/usr/bin/other"}),
    ],
)
def test_stop_spares(whose: str, change: dict[str, object], component: Component) -> None:
    processes.ensure(component)
    ours = processes.read(component.record)
    assert ours is not None
    other = replace(ours, **change)  # type: ignore[arg-type]  # rows hold mixed types
    component.record.write_text(f"{other.pid} {other.started} {other.digest} {other.executable}\n")

    processes.stop(component.record)

    assert ours.is_alive(), whose
    processes.end(os.pidfd_open(ours.pid), term_s=0)


@pytest.mark.parametrize("text", ["", "12", "12 34 abc", "a b c d"])
def test_a_half_written_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "record").write_text(text)
    assert processes.read(tmp_path / "record") is None


def test_one_that_ends_at_once_is_a_failure_that_shows_its_log(tmp_path: Path) -> None:
    broken = running(ENDS, tmp_path)
    processes.ensure(broken)
    with pytest.raises(Failure) as failed:
        processes.wait_ready(broken)
    assert "sleeper ended" in failed.value.what
    assert "no such flag: --tea" in failed.value.remedy


def test_that_it_ended_is_seen_where_nobody_asks_for_its_exit_code(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", UNREAPED, tmp_path], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()


def test_the_log_of_the_last_life_is_kept(tmp_path: Path) -> None:
    broken = running(ENDS, tmp_path)
    for _ in range(2):
        processes.ensure(broken)
        wait_gone(broken)
    assert "--tea" in broken.log.with_suffix(".log.old").read_text()


def test_a_program_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="kvring-no-such-program is not installed"):
        processes.ensure(Component("x", tmp_path, ("kvring-no-such-program",), ready=bool))


def test_children_see_no_proxy(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    shows = running("import os; print(sorted(os.environ))", tmp_path)
    processes.ensure(shows)
    wait_gone(shows)
    assert "PATH" in shows.log.read_text()
    assert "PROXY" not in shows.log.read_text()
