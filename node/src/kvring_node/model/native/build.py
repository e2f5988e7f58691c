"""Compiles the kernels: `python build.py [FOLDER]`, with GCC's `g++` and nothing but the standard library.

One shared library for each kind of processor that one image may meet; `library` takes the one that fits the
machine. The name of a library carries a hash of what it is made from, so one that is out of date is not
found, rather than used.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE / "built"
SOURCES = ("linear.cpp", "attention.cpp", "heads.cpp", "threads.cpp")
HEADERS = ("vector.h", "threads.h")
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fopenmp-simd",
    "-pthread",
    "-fPIC",
    "-shared",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Wno-psabi",  # vectors cross no function that is not inlined
)
AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "prefer-vector-width=512")
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "avx512": tuple(f"-m{name}" for name in AVX512),
        "avx2": ("-mavx2", "-mfma"),
        "default": (),
    },
    "aarch64": {"default": ()},
}
"""For each machine, the compiler's flags by the processor's capability in torch's words, lower case."""


def library_path(variant: str) -> Path:
    """Where the library of these sources stands, once it is built."""
    made_from = hashlib.sha256(repr((FLAGS, VARIANTS)).encode())
    for name in (*SOURCES, *HEADERS):
        made_from.update((HERE / name).read_bytes())
    return BUILT / f"kernels-{variant}-{made_from.hexdigest()[:12]}.so"


def main(arguments: list[str]) -> None:
    """Builds what is missing into FOLDER; ends with status 1, and says why, where that is impossible."""
    folder = Path(arguments[0]) if arguments else BUILT
    variants = VARIANTS.get(platform.machine(), {})
    compiler = shutil.which("g++")
    if not variants or not compiler:
        why = "g++ is not installed" if variants else f"there are none for {platform.machine()}"
        sys.exit(f"kernels: not built, {why}; the node computes with torch alone, more slowly")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {folder / library_path(variant).name: flags for variant, flags in variants.items()}
    for path, flags in wanted.items():
        if not path.exists():
            _compile(compiler, flags, path)
    for path in folder.glob("kernels-*.so"):
        if path not in wanted:
            path.unlink()


def _compile(compiler: str, flags: tuple[str, ...], path: Path) -> None:
    """A library appears only when it is complete."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        sources = [HERE / name for name in SOURCES]
        subprocess.run([compiler, *FLAGS, *flags, *sources, "-o", made], check=True)
        made.rename(path)


if __name__ == "__main__":
    main(sys.argv[1:])
