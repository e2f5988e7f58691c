import io
import re

import pytest
from dev import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock():
    """Advances by 2.5 s each time it is asked."""
    moments = iter(moment * 2.5 for moment in range(1000))
    return lambda: next(moments)


def test_a_step_that_ends_well_is_ticked_with_its_time_and_last_note(clock) -> None:
    out = io.StringIO()
    with progress.step("compile etcd", out, clock) as step:
        step.note("12 packages")
    assert out.getvalue() == "✓ compile etcd  2.5 s  12 packages\n"


def test_a_step_that_fails_is_crossed_and_the_failure_goes_on(clock) -> None:
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), progress.step("divide", out, clock):
        _ = 1 // 0
    assert out.getvalue() == "✗ divide  2.5 s\n"


def test_a_terminal_sees_one_line_redrawn(clock) -> None:
    out = Terminal()
    with progress.step("pull", out, clock):
        pass
    assert re.search(r"\r\x1b\[K✓ pull  [\d.]+ s\n$", out.getvalue())  # drawn once, or again by its thread
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (307.2, "5 min 07 s"), (3600, "60 min 00 s")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text
