from pathlib import Path

import pytest
from dev import preflight
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


ACCEPTS = "chain FORWARD {\n type filter hook forward priority filter; policy accept;\n}"
DROPS = "chain FORWARD {\n type filter hook forward priority filter; policy drop;\n}"
EXCEPTS = DROPS.replace("}", " ip saddr 10.244.0.0/16 counter accept\n}")


@pytest.mark.parametrize(
    ("case", "chain", "drops"),
    [
        ("accepting by default", ACCEPTS, False),
        ("dropping by default, as Docker leaves it", DROPS, True),
        ("dropping by default with our remedy applied", EXCEPTS, False),
    ],
)
def test_a_firewall(case: str, chain: str, drops: bool) -> None:
    assert preflight.drops_pods(chain) == drops, case
