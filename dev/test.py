"""Everything that CI runs, in order: verify, prepare a cluster, tests on it, stop what was started.

`make cluster-test PYTEST='-k scale'` runs only what is named of the tests on the cluster.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dev import alone, failure, images, paths, preflight
from dev.cluster import control_plane

REPO = Path(__file__).resolve().parent.parent
PREPARE = (
    ("local Kubernetes", ("dev.cluster", "up")),
    ("demo model", ("dev.model",)),
    ("images", ("dev.images", "build")),
)
WITHOUT_A_CLUSTER = (
    ("verify", ["make", "--no-print-directory", "verify"]),
    ("slow unit tests", ["make", "--no-print-directory", "slow"]),
)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every stage passed; the first failed stage's code otherwise."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("--only", choices=["cluster"], help="run this part alone")
    options, pytest_arguments = parser.parse_known_args(arguments)

    preflight.ensure((*preflight.CLUSTER, *images.PROGRAMS))  # rather now than after a quarter of an hour
    if options.only != "cluster":
        for name, command in WITHOUT_A_CLUSTER:
            if code := stage(name, command):
                return code
    with alone.holding(paths.home() / "cluster-tests.lock"):  # some tests kill the API server
        return on_the_cluster(pytest_arguments)


def on_the_cluster(pytest_arguments: Sequence[str]) -> int:
    """Prepare what is missing, run the tests, stop the cluster if it was not running before."""
    was_up = control_plane.is_there()  # perhaps with a part down, or a machine cut off on purpose
    try:
        for name, words in PREPARE:
            if code := stage(name, module(*words)):
                return code
        tests = () if names_tests(pytest_arguments) else ("tests/cluster",)
        return stage("tests on the cluster", module("pytest", "-q", *tests, *pytest_arguments))
    finally:
        if not was_up:
            stage("stop the local Kubernetes", module("dev.cluster", "down"))


def names_tests(pytest_arguments: Sequence[str]) -> bool:
    """Whether files or single tests are among the arguments; all on the cluster are meant otherwise."""
    return any(word.startswith("tests/") for word in pytest_arguments)


def module(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def stage(name: str, command: list[str]) -> int:
    """Run one stage with its output shown; prints how long it took. Returns its exit code."""
    print(f"== {name}", flush=True)
    started = time.monotonic()
    code = subprocess.run(
        command, cwd=REPO, env={**os.environ, "PYTHONUNBUFFERED": "1"}, check=False
    ).returncode
    print(
        f"== {name}: {'ok' if code == 0 else f'failed ({code})'} in {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return code


if __name__ == "__main__":
    sys.exit(failure.exit_code(lambda: main(sys.argv[1:])))
