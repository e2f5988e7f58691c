"""What the host has to offer."""

import socket

import pytest
from dev import host
from dev.cluster import layout

ACCEPTS = "chain FORWARD {\n type filter hook forward priority filter; policy accept;\n}"
DROPS = "chain FORWARD {\n type filter hook forward priority filter; policy drop;\n}"
EXCEPTS = DROPS.replace("}", " ip saddr 10.244.0.0/16 counter accept\n}")
INPUT = ["iptables -I INPUT -s 10.244.0.0/16 -j ACCEPT", "iptables -I INPUT -s 10.250.0.0/16 -j ACCEPT"]
FORWARD = [f"iptables -I FORWARD {side} 10.244.0.0/16 -j ACCEPT" for side in ("-s", "-d")]


@pytest.mark.parametrize(
    ("case", "chain", "listed", "missing"),
    [
        ("no such chain", "FORWARD", "", []),
        ("accepting by default", "FORWARD", ACCEPTS, []),
        ("forwarding nothing, as Docker leaves it", "FORWARD", DROPS, FORWARD),
        ("the same with our remedy applied", "FORWARD", EXCEPTS, []),
        ("taking nothing in, as ufw leaves it", "INPUT", DROPS, INPUT),
        ("an exception for more than that", "INPUT", EXCEPTS.replace("10.244.0.0/16", "10.0.0.0/8"), []),
        ("an exception for somebody else", "INPUT", EXCEPTS.replace("10.244.0.0/16", "10.9.8.7"), INPUT),
        ("half of the remedy", "INPUT", EXCEPTS, ["iptables -I INPUT -s 10.250.0.0/16 -j ACCEPT"]),
    ],
)
def test_a_firewall_is_told_what_to_let_through(case, chain, listed, missing) -> None:
    assert host.rules_missing(chain, listed) == missing, case


def test_a_port_is_taken_for_an_address_to_come_by_who_listens_on_all_addresses() -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert not host.is_free(layout.ADDRESS, port)
    assert host.is_free(layout.ADDRESS, port)
