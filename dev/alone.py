"""One process at a time, also from different clones: they share what lies under KVRING_HOME."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev import progress


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """Holds the lock file while the body runs, after waiting for it; the kernel lets go of it if we die."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step(f"another process is at it (it holds {lock})"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
