"""The C library's heap while weights are read.

Reading a layer takes passing copies of its matrices. glibc keeps freed blocks for later, up to a size that
grows with use to 32 MiB, and weights that settle between them keep them from ever going back: a model of
200 MB took 315 MB for good. So while weights are read, large blocks come from the system and go back to it.
"""

import contextlib
import ctypes
from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h

READING_BYTES = 1 << 16
COMPUTING_BYTES = 32 << 20
"""Where glibc's own rule ends after a few large blocks: a step's tensors do not cost a system call each."""


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """Blocks that are freed in here leave the process; other C libraries than glibc do as they do."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: None)
    mallopt(M_MMAP_THRESHOLD, READING_BYTES)
    try:
        yield
    finally:
        mallopt(M_MMAP_THRESHOLD, COMPUTING_BYTES)
        mallopt(M_TRIM_THRESHOLD, 2 * COMPUTING_BYTES)
