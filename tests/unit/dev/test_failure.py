"""How tools for people end."""

import os
import subprocess
import sys

import pytest

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
PROGRAM = """
import sys
from dev import failure

def work():
    {}
    return 0

sys.exit(failure.exit_code(work))
"""


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        pytest.param("pass", 0, "", id="work that is done: nothing is said"),
        pytest.param(
            "raise failure.Failure('no disk', 'free some')",
            1,
            "error: no disk\n  what to do: free some\n",
            id="a failure",
        ),
        pytest.param(
            "raise KeyboardInterrupt", 130, "\ninterrupted; the same command goes on from here\n", id="Ctrl-C"
        ),
        pytest.param("print('x' * 10**6)", 1, "", id="a reader that has seen enough, as head"),
        pytest.param("print('x')", 1, "", id="the same, and what is printed fits the buffer"),
    ],
)
def test_a_tool_ends_with_a_code_and_a_sentence_and_no_traceback(body: str, code: int, said: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=BUFFERED,
        text=True,
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.close()
        assert ran.stderr.read() == said
    assert ran.returncode == code
