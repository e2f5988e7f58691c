"""Triton's launcher compiled ahead, as the image has it, where neither a compiler nor a GPU is."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import triton  # type: ignore[import-untyped]  # it has none

from kvring_node.model.attention import launcher

TRITON = Path(triton.__file__).parent / "backends" / "nvidia"
FAKE = Path(__file__).parents[3] / "support" / "libcuda.c"
HEADERS = Path(sysconfig.get_path("include", "posix_prefix"))

pytestmark = pytest.mark.skipif(
    not shutil.which("gcc") or not (HEADERS / "Python.h").exists(),
    reason="gcc and Python's headers compile the launcher: apt-get install gcc python3-dev",
)


def test_a_layer_is_launched_where_no_compiler_is(tmp_path: Path) -> None:
    built, libcuda = tmp_path / "built", tmp_path / launcher.LIBCUDA
    launcher.build(TRITON, built)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{libcuda.name}", FAKE, "-o", libcuda], check=True
    )

    launched = subprocess.run(
        [sys.executable, "-m", "tests.support.paged_launched", built, libcuda],
        env={"PATH": str(tmp_path), "TRITON_CACHE_DIR": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    blocks_of_16_queries, key_heads, segments = 5 + 1, 2, 1
    assert launched.stdout.split() == [str(n) for n in (blocks_of_16_queries, key_heads, segments)]


def test_the_launcher_of_another_triton_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "driver.c").write_text("int other;")

    assert launcher.library_name(tmp_path) != launcher.library_name(TRITON)
