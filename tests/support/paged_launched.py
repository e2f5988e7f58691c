"""The CUDA kernel launched by Triton's own launcher, with a library that stands for the GPU's driver.

`python -m tests.support.paged_launched BUILT LIBCUDA` takes the launcher from a folder; the library writes
the grid that it is given.
"""

import ctypes
import sys
from pathlib import Path

import triton  # type: ignore[import-untyped]  # it has none
from tests.support import paged_compiled

from kvring_node.model.attention import launcher


class Driver(paged_compiled.Driver):
    """Launches as on a GPU."""

    def __init__(self) -> None:
        """For sm_80."""
        from triton.backends.nvidia import driver  # type: ignore[import-untyped]  # it has none

        super().__init__(80)
        self.utils = driver.CudaUtils()
        self.launcher_cls = driver.CudaLauncher


def main(built: str, libcuda: str) -> None:
    """One layer of a prefill of 70 and 3 tokens."""
    ctypes.CDLL(libcuda)  # where there is a GPU, torch has loaded it by then
    launcher.use_built(Path(built))
    triton.runtime.driver.set_active(Driver())
    paged_compiled.attend(paged_compiled.Case(80, "bfloat16", 64, ((0, 70), (5, 3)), None))


if __name__ == "__main__":
    main(*sys.argv[1:])
