"""One process at a time, also from different clones: they share what lies under KVRING_HOME."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """Waits for the lock file and holds it while the body runs; the kernel lets go of it if we die."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
