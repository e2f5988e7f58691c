"""How tools for people end when something does not work: with what, and what to do about it."""

import os
import sys
from collections.abc import Callable


class Failure(Exception):
    """Something did not work; `remedy` tells the reader what to do about it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  what to do: {self.remedy}" if self.remedy else self.what


def exit_code(work: Callable[[], int]) -> int:
    """What a tool's work returns; if it fails 1, interrupted 130, after a message without traceback."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except Failure as failed:
        print(f"error: {failed}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `make status | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's end complains
    return 1
