"""A node as a process of its own, as it runs in a pod: started, asked over HTTP, watched, ended."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.support import byte_folder, poll

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0


class Node:
    """One running node. `journal`: what its fake engine was told; `last_word`: what Kubernetes would read."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.log = folder / "node.log"
        self.journal = folder / "journal"
        self.last_word = folder / "termination-log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stderr=log, stdout=log, env=environment, process_group=0
            )
        self.url = f"http://127.0.0.1:{self._port()}"
        self.http = httpx.Client(base_url=self.url, timeout=30.0)

    def lines(self) -> list[dict[str, Any]]:
        """The log."""
        return [json.loads(line) for line in _whole_lines(self.log) if line.startswith("{")]

    def received(self) -> list[dict[str, Any]]:
        """What the fake engine was told."""
        return [json.loads(line) for line in _whole_lines(self.journal)]

    def is_ready(self) -> bool:
        try:
            return self.http.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def wait_ready(self) -> None:
        poll.until(self._ready_or_dead, what="readiness", within_s=START_S, every_s=0.05)

    def engine(self) -> psutil.Process:
        """The engine process."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self, within_s: float = 60.0) -> int:
        return self.process.wait(within_s)

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _ready_or_dead(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the node ended:\n{self.log.read_text()}")
        return self.is_ready()

    def _port(self) -> str:
        def listening() -> str:
            has_ended = self.process.poll() is not None  # perhaps after it listened, as some are meant to
            found = re.search(r'listening on \S+ port (\d+)"', self.log.read_text())
            if has_ended and not found:
                raise RuntimeError(f"the node ended:\n{self.log.read_text()}")
            return found[1] if found else ""

        return poll.until(listening, what="a port", within_s=START_S, every_s=0.02)


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more; whoever inherited it may never ask for its exit code."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _whole_lines(path: Path) -> list[str]:
    """Without one that is being written."""
    return path.read_text().rpartition("\n")[0].splitlines()


@contextlib.contextmanager
def fake(
    folder: Path,
    *node_flags: str,
    engine_flags: Sequence[str] = (),
    engine: str = "tests.support.fake_engine",
    strips_space: bool = False,
) -> Iterator[Node]:
    """A node whose engine echoes, or the one given; not waited for."""
    (folder / "termination-log").touch()
    (folder / "journal").touch()
    model = byte_folder.make(folder / "echo", strips_space=strips_space)
    flags = ["--model", str(model), "--host", "127.0.0.1", "--port", "0", "--drain-lag-s", "0.2", *node_flags]
    command = [engine, "--journal", str(folder / "journal"), *engine_flags]
    with _running([*_FAKE, str(folder / "termination-log"), *command, "--", *flags], folder) as node:
        yield node


@contextlib.contextmanager
def real(model: Path, folder: Path, *node_flags: str) -> Iterator[Node]:
    """A node as users start it; not waited for."""
    flags = ["--model", str(model), "--host", "127.0.0.1", "--port", "0", "--num-threads", "1", *node_flags]
    with _running([sys.executable, "-m", "kvring_node", *flags], folder) as node:
        yield node


@contextlib.contextmanager
def _running(command: Sequence[str], folder: Path) -> Iterator[Node]:
    node = Node(command, folder)
    try:
        yield node
    finally:
        node.close()


_FAKE = (sys.executable, "-m", "tests.support.fake_node")
