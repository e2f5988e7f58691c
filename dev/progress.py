"""Shows a long step while it runs: its name, the time so far, a note; then how it ended.

On a terminal one line is redrawn in place; elsewhere lines are printed, and a sign of life every half minute.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

REDRAW_S = 0.2
SIGN_OF_LIFE_S = 30.0


class Step:
    """One running step; `note` says what it is at."""

    def __init__(self, name: str, out: TextIO, clock: Callable[[], float]) -> None:
        self._name = name
        self._out = out
        self._clock = clock
        self._began_at = clock()
        self._note = ""
        self._ended = threading.Event()
        self._drawing = threading.Thread(target=self._draw, daemon=True)
        self._live = out.isatty()

    def note(self, text: str) -> None:
        """Replaces what is shown beside the time."""
        self._note = text

    def start(self) -> None:
        """Begins to draw."""
        self._drawing.start()

    def end(self, mark: str) -> None:
        """Writes the last line: a mark, the name, the time, the note."""
        self._ended.set()
        self._drawing.join()
        self._print(self._line(mark), last=True)

    def _line(self, mark: str) -> str:
        note = f"  {self._note}" if self._note else ""
        return f"{mark} {self._name}  {duration(self._clock() - self._began_at)}{note}"

    def _draw(self) -> None:
        while not self._ended.wait(REDRAW_S if self._live else SIGN_OF_LIFE_S):
            self._print(self._line("…"), last=False)

    def _print(self, line: str, *, last: bool) -> None:
        if self._live:
            self._out.write("\r\x1b[K" + line + ("\n" if last else ""))
        else:
            self._out.write(line + "\n")
        self._out.flush()


def duration(seconds: float) -> str:
    """Seconds as people read them: `4.2 s`, `5 min 07 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


@contextmanager
def step(name: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Step]:
    """Shows `name` while the body runs; marks it ✓ when the body ends, ✗ when it raises."""
    shown = Step(name, out or sys.stdout, clock)
    shown.start()
    try:
        yield shown
    except BaseException:
        shown.end("✗")
        raise
    shown.end("✓")
