from pathlib import Path

import pytest
from dev.preflight import Program


@pytest.mark.parametrize(
    ("case", "name", "there"),
    [
        ("a program on PATH", "sh", True),
        ("a program of administrators, whatever the user's PATH", "mkfs", Path("/usr/sbin/mkfs").exists()),
        ("a program that nobody has", "kvring-no-such-program", False),
        ("a file that exists", "/proc/self/stat", True),
        ("a file that does not", "/proc/self/no-such-file", False),
    ],
)
def test_a_program_is_found(case: str, name: str, there: bool) -> None:
    assert Program(name, "package").is_there() == there, case
