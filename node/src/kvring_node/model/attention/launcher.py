"""The C module by which Triton loads and launches kernels, compiled ahead: images have no compiler.

Triton compiles it from `driver.c` of its own package when the first kernel is launched. `python launcher.py
BACKEND FOLDER` does that where the image is built, with `gcc`, the headers of Python and the standard library
alone; BACKEND is the folder `triton/backends/nvidia`. Kernels themselves need no C compiler.
"""

import hashlib
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

BUILT = Path(__file__).resolve().parent / "built"
LIBCUDA = "libcuda.so.1"


def library_name(backend: Path) -> str:
    """Another one for another source or interpreter: a library that is out of date is not found."""
    made_from = hashlib.sha256((backend / "driver.c").read_bytes()).hexdigest()[:12]
    return f"cuda_utils-{made_from}{sysconfig.get_config_var('EXT_SUFFIX')}"


def build(backend: Path, folder: Path) -> Path:
    """Compiles the module, with Triton's flags; returns where it stands."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / library_name(backend)
    headers = (backend / "include", sysconfig.get_path("include", "posix_prefix"))
    with tempfile.TemporaryDirectory() as stubs:
        # Only machines with a GPU have the driver's library. Its name is enough for linking.
        stub = Path(stubs) / LIBCUDA
        compile_shared = ("gcc", "-O3", "-shared", "-fPIC", "-Wno-psabi", "-Wl,--no-as-needed")
        subprocess.run(
            [*compile_shared, f"-Wl,-soname,{LIBCUDA}", "-xc", "/dev/null", "-o", stub], check=True
        )
        included = [f"-I{header}" for header in headers]
        subprocess.run([*compile_shared, *included, backend / "driver.c", stub, "-o", library], check=True)
    return library


def use_built(folder: Path = BUILT) -> None:
    """Gives the module to Triton where it was compiled ahead; else Triton looks for a compiler."""
    import triton  # type: ignore[import-untyped]  # it has none; and building takes place without it
    from triton.backends import nvidia  # type: ignore[import-untyped]  # the same

    library = folder / library_name(Path(nvidia.__file__).parent)
    if library.exists():
        triton.knobs.build.impl = lambda *_source_and_flags: str(library)
        # Where to link from. Else Triton asks ldconfig, which need not know what a container runtime mounts.
        triton.knobs.nvidia.libcuda_path = str(folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
