"""The processes of a pod as its machine sees them: found by their cgroup, killed or frozen.

Every machine of the local cluster shares this host's processes.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.support import kube


def kill(pod: kube.Object, word: str) -> None:
    """`kill -9` to the one process of the pod whose command line holds `word`."""
    os.kill(pid(pod, word), signal.SIGKILL)


@contextlib.contextmanager
def frozen(pod: kube.Object, word: str) -> Iterator[None]:
    """The process stands still inside the block; raises when it is not there any more afterwards."""
    number = pid(pod, word)
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, signal.SIGCONT)


def pid(pod: kube.Object, word: str) -> int:
    """The one process of the pod whose command line holds `word`."""
    found = list(_running(pod["metadata"]["uid"], word))
    assert len(found) == 1, f"one process of {pod['metadata']['name']} runs {word}: {found}"
    return found[0]


def _running(uid: str, word: str) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_of_pod = f"/pod{uid}/" in (process / "cgroup").read_text()
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if is_of_pod and word.encode() in words:
            yield int(process.name)
