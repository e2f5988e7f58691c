"""A program that is told to end while it still starts ends at once.

In a container it is process 1, which never hears a signal that it has no handler for: its pod would stay for
its whole grace.
"""

import subprocess
import sys

import pytest

HELD = """
import runpy, signal, sys

_, program, heavy = sys.argv

class Gate:
    def find_spec(self, name, *_):
        if name == heavy:
            print("here", flush=True)
            signal.pause()
            sys.exit("it heard the signal and went on")

sys.meta_path.insert(0, Gate())
runpy.run_module(program, run_name="__main__")
"""
"""Stops at a heavy import."""


@pytest.mark.parametrize(
    ("program", "heavy"), [("kvring_node", "fastapi"), ("kvring_operator", "kopf")], ids=str
)
def test_it_can_be_ended_before_its_heavy_imports(program: str, heavy: str) -> None:
    command = [sys.executable, "-c", HELD, program, heavy]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "here\n"
            process.terminate()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
