"""Tries forms in a process of its own: a form that crashes or stalls the library stalls nobody's answers.

llguidance bounds the work of a step, but not that of compiling: a few bytes of regular expression or schema
can take minutes, gigabytes, or the stack (and with it the process). The process is started by the first form,
kept, and replaced when a form has killed it; it ends when its standard input does.
"""

import json
import subprocess
import sys
import weakref
from collections.abc import Callable

from kvring_node.grammars import limits


class Trial:
    """A trial process, once there was a form to try."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._end: Callable[[], object] = lambda: None

    def check(self, kind: str, text: str) -> None:
        """Returns when `text`, as llguidance reads it, can be compiled within the limits.

        Raises:
            ValueError: it cannot; the message says why.
        """
        if len(text) > limits.MOST_CHARACTERS:
            raise ValueError(f"the {kind} has {len(text)} characters; send at most {limits.MOST_CHARACTERS}")
        error = self._ask(text)
        if error is None:
            raise ValueError(
                f"the {kind} takes more than {limits.COMPILE_S} s or {limits.COMPILE_BYTES >> 20} MiB "
                "to compile, or nests too deeply; make it smaller"
            )
        if error:
            raise ValueError(f"the {kind} cannot be used: {error}")

    def _ask(self, text: str) -> str | None:
        """What is wrong with the form, if anything; None when it killed the process."""
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(text) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer:
            error: str = json.loads(answer)
            return error
        self._start()  # for the next one, which need not wait for it then
        return None

    def _start(self) -> "subprocess.Popen[str]":
        self._end()
        command = [sys.executable, "-m", "kvring_node.grammars.trial_process"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._end = weakref.finalize(self, _end, self._process)
        return self._process


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()
