"""A short turn of the fuzzer of request bodies; `python -m tests.campaigns.bodies` takes longer ones."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_few_hundred_thousand_bodies_are_taken_or_refused() -> None:
    pytest.importorskip("atheris")

    command = [sys.executable, "-m", "tests.campaigns.bodies", "--seconds", "10"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr[-4000:]
    assert "DONE" in ended.stderr
