"""What the host has to offer."""

import socket

from dev import host
from dev.cluster import layout


def test_a_port_is_taken_for_an_address_to_come_by_who_listens_on_all_addresses() -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert not host.is_free(layout.ADDRESS, port)
    assert host.is_free(layout.ADDRESS, port)
