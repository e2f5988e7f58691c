"""Starts and ends the cluster's long-running programs.

There is no supervising process: each program is detached and leaves a record (pid, start time, digest of its
settings, executable), so whoever comes later can tell whether it still runs, and never takes another for it.
The new process writes the record itself before it becomes the program: a `kill -9` of ours loses none.
"""

import hashlib
import os
import resource
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from dev.cluster import wait
from dev.cluster.probes import Probe
from dev.failure import Failure

SHOWN_LINES = 15
DEADLINE_S = 10.0  # for what the kernel does at once
TERM_S = 5.0
BECOME = 'echo "$$ $(cut -d" " -f22 "/proc/$$/stat") $1 $2" > "$0"; shift 2; exec "$@"'


class Outcome(StrEnum):
    """What `ensure` found and did."""

    RUNNING = "was running"
    STARTED = "started"
    MENDED = "had died, started again"
    CHANGED = "has new settings, started again"


@dataclass(frozen=True)
class Component:
    """One long-running program: all that is needed to start it, and how to tell that it works."""

    name: str
    folder: Path  # holds its record and its log
    command: tuple[str, ...]
    ready: Probe
    files: Mapping[Path, str] = field(default_factory=dict)  # settings to write before it starts
    enter: tuple[str, ...] = ()  # words that put it into a machine's network
    ready_s: float = 60.0

    @property
    def log(self) -> Path:
        """What it says; the log before the last start is kept beside it, ending in `.old`."""
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def record(self) -> Path:
        """Who it is while it runs."""
        return records(self.folder) / self.name

    def digest(self) -> str:
        """Changes when it would be started differently."""
        settings = (self.command, sorted((str(path), text) for path, text in self.files.items()))
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Record:
    """Identity of a process, beyond its pid, which another may have inherited."""

    pid: int
    started: int  # clock ticks after boot
    digest: str
    executable: str

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        try:
            executable = str(Path(f"/proc/{self.pid}/exe").readlink())
        except OSError:
            return False
        return self.is_there() and executable.removesuffix(" (deleted)") == self.executable

    def is_there(self) -> bool:
        """Whether it has not ended, whatever program it is by now."""
        try:
            after_name = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return int(after_name[19]) == self.started and after_name[0] != "Z"  # nobody may ask how it ended


def records(folder: Path) -> Path:
    """Folder of the records of the programs that belong to `folder`."""
    return folder / "processes"


def read(record: Path) -> Record | None:
    """The record in a file; None if there is none, or a half-written one of a machine that lost power."""
    try:
        pid, started, digest, executable = record.read_text().split(maxsplit=3)
        return Record(int(pid), int(started), digest, executable.strip())
    except (FileNotFoundError, ValueError):
        return None


def is_running(component: Component) -> bool:
    """Whether the component's process is alive."""
    record = read(component.record)
    return record is not None and record.is_alive()


def ensure(component: Component) -> Outcome:
    """Makes sure that the component runs with these settings; does not wait until it is ready."""
    record = read(component.record)
    if record is None:
        outcome = Outcome.STARTED
    elif not record.is_alive():
        outcome = Outcome.MENDED
    elif record.digest == component.digest():
        return Outcome.RUNNING
    else:
        outcome = Outcome.CHANGED
        stop(component.record)
    _start(component)
    return outcome


def wait_ready(component: Component) -> None:
    """Returns when the component is ready.

    Raises:
        Failure: it ended, or was not ready in time; holds the end of its log.
    """

    def ready_or_dead() -> bool:
        return component.ready() or not is_running(component)

    wait.until(ready_or_dead, f"{component.name} ready", component.ready_s, lambda: _tail(component))
    if not is_running(component):
        raise Failure(f"{component.name} ended", _tail(component))


def stop(record_file: Path, term_s: float = TERM_S) -> None:
    """Ends the process of a record, if it still is that one: asks, kills after `term_s`; 0 kills at once."""
    record = read(record_file)
    if record is not None:
        with _handle(record) as handle:
            if handle is not None:
                end(handle, term_s)
    record_file.unlink(missing_ok=True)


def stop_all(folder: Path, names: tuple[str, ...] = (), term_s: float = TERM_S) -> None:
    """Ends those programs of a folder that are named, or all."""
    if records(folder).is_dir():
        for record_file in sorted(records(folder).iterdir()):
            if not names or record_file.name in names:
                stop(record_file, term_s)


def end(handle: int, term_s: float) -> None:
    """Ends the process behind a pidfd; returns when it is gone."""
    watch = select.poll()
    watch.register(handle, select.POLLIN)
    if term_s:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if watch.poll(term_s * 1000):
            return
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    watch.poll(DEADLINE_S * 1000)


def kill_until_none(find: Callable[[], Iterable[int]], what: str, within_s: float) -> None:
    """Kills whatever `find` gives, all of it ours, until it finds none: they may be forking."""

    def none_left() -> bool:
        left = list(find())
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself
        return not left

    wait.until(none_left, f"{what} gone", within_s)


@contextmanager
def _handle(record: Record) -> Iterator[int | None]:
    """A pidfd that surely is the record's process, since it is checked after opening; None if it is gone."""
    try:
        handle = os.pidfd_open(record.pid)
    except OSError:
        if record.is_alive():
            raise
        yield None  # nobody has that number now, or a thread of somebody else's, which has no pidfd
        return
    try:
        yield handle if record.is_alive() else None
    finally:
        os.close(handle)


def _start(component: Component) -> None:
    for path, text in component.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    component.record.parent.mkdir(parents=True, exist_ok=True)
    component.log.parent.mkdir(parents=True, exist_ok=True)
    if component.log.exists():
        component.log.replace(component.log.with_suffix(".log.old"))
    component.record.unlink(missing_ok=True)
    program = shutil.which(component.command[0])
    if program is None:
        raise Failure(
            f"{component.command[0]} is not installed", "python -m dev.preflight tells where to get it"
        )
    executable = os.path.realpath(program)
    identity = (str(component.record), component.digest(), executable)
    command = (
        *component.enter,
        "setsid",
        "--fork",
        "sh",
        "-c",
        BECOME,
        *identity,
        executable,
        *component.command[1:],
    )
    with component.log.open("wb") as log:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            cwd="/",
            env=_environment(),
            umask=0o022,  # what containerd makes is entered by other users
        )
    wait.until(
        lambda: _has_become(component), f"{component.name} started", DEADLINE_S, lambda: _tail(component)
    )


def _has_become(component: Component) -> bool:
    """Whether the new process is the program by now, or ended already."""
    record = read(component.record)
    return record is not None and (record.is_alive() or not record.is_there())


def _environment() -> dict[str, str]:
    """A plain one: a proxy meant for the internet would catch the cluster's own calls."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def raise_limits() -> None:
    """Lets this process and what it starts open as many files as the host allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tail(component: Component) -> str:
    if not component.log.exists():
        return f"it left no log at {component.log}"
    lines = component.log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
    return "\n".join([f"read the end of {component.log}:", *lines])
