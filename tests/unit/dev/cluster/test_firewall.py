"""What a firewall that drops by default has to let through."""

import pytest
from dev.cluster import firewall

ACCEPTS = "chain FORWARD {\n type filter hook forward priority filter; policy accept;\n}"
DROPS = "chain FORWARD {\n type filter hook forward priority filter; policy drop;\n}"
EXCEPTS = DROPS.replace("}", " ip saddr 10.244.0.0/16 counter packets 3 bytes 180 accept\n}")
INPUT = ["INPUT -s 10.244.0.0/16 -j ACCEPT", "INPUT -s 10.250.0.0/16 -j ACCEPT"]
FORWARD = ["FORWARD -s 10.244.0.0/16 -j ACCEPT", "FORWARD -d 10.244.0.0/16 -j ACCEPT"]


@pytest.mark.parametrize(
    ("case", "chain", "listed", "missing"),
    [
        ("no such chain", "FORWARD", "", []),
        ("accepting by default", "FORWARD", ACCEPTS, []),
        ("forwarding nothing, as Docker leaves it", "FORWARD", DROPS, FORWARD),
        ("the same with half of our rules", "FORWARD", EXCEPTS, FORWARD[1:]),
        (
            "the same with our rules",
            "FORWARD",
            EXCEPTS.replace("}", " ip daddr 10.244.0.0/16 accept\n}"),
            [],
        ),
        ("an exception of the wrong kind", "INPUT", EXCEPTS.replace("accept\n", "drop\n"), INPUT),
        ("taking nothing in, as ufw leaves it", "INPUT", DROPS, INPUT),
        ("an exception for more than that", "INPUT", EXCEPTS.replace("10.244.0.0/16", "10.0.0.0/8"), []),
        ("an exception for somebody else", "INPUT", EXCEPTS.replace("10.244.0.0/16", "10.9.8.7"), INPUT),
        ("half of our rules", "INPUT", EXCEPTS, INPUT[1:]),
    ],
)
def test_a_firewall_is_told_what_to_let_through(case, chain, listed, missing) -> None:
    assert [" ".join(rule) for rule in firewall.rules_missing(chain, listed)] == missing, case
