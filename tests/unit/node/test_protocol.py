"""Clients that offer to go on in another protocol, as Java's do with each request, are served in this one."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.support import node as nodes
from tests.support.node import Node

OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
BODY = json.dumps({"prompt": "abc", "max_tokens": 6}).encode()
SIZED = f"Content-Length: {len(BODY)}\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with nodes.fake(tmp_path_factory.mktemp("node")) as running:
        running.wait_ready()
        yield running


def request(headers: str, body: bytes = BODY) -> bytes:
    return f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode() + body


def answers(node: Node, pieces: Sequence[bytes], number: int) -> list[str]:
    """Statuses, or texts where there are some, of so many answers to what is sent in these pieces."""
    host, port = node.url.removeprefix("http://").split(":")
    heard = b""
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        while len(found := re.findall(rb'"text":"(\w+)"|"(version)"|(400) Bad', heard)) < number:
            came = client.recv(65536)
            assert came, heard
            heard += came
    return [next(filter(None, one)).decode() for one in found]


CHUNKED = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (5, BODY[:5], len(BODY) - 5, BODY[5:])
PLAIN, OFFERED = request(SIZED), request(OFFER + SIZED)


@pytest.mark.parametrize(
    "pieces",
    [
        [OFFERED],
        [OFFERED[:-10], OFFERED[-10:]],
        [OFFERED[: -len(BODY)], BODY],
        [bytes([byte]) for byte in OFFERED],
        [request(OFFER + "Transfer-Encoding: chunked\r\n", CHUNKED)],
        [request(OFFER.replace("h2c", "websocket") + SIZED)],
        [request(OFFER.lower() + SIZED)],
        [request(OFFER.replace("Upgrade, ", "close, Upgrade, ") + SIZED)],
    ],
    ids=[
        "at once",
        "in two",
        "the body later",
        "byte by byte",
        "chunked",
        "another offer",
        "in lower case",
        "and a close",
    ],
)
def test_a_request_with_an_offer_is_served_with_its_body(node: Node, pieces: list[bytes]) -> None:
    assert answers(node, pieces, 1) == ["abcabc"]


def test_a_connection_goes_on_after_an_offer(node: Node) -> None:
    plain_get = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"

    assert answers(node, [OFFERED + OFFERED + plain_get + PLAIN + OFFERED], 5) == [
        "abcabc", "abcabc", "version", "abcabc", "abcabc"
    ]  # fmt: skip


def test_an_offer_leaves_no_way_around_the_checks_of_a_head(node: Node) -> None:
    both = request(f"{OFFER}{SIZED}Transfer-Encoding: chunked\r\n", CHUNKED)

    assert answers(node, [both], 1) == ["400"]


def test_an_offer_is_nothing_to_warn_of(tmp_path: Path) -> None:
    with nodes.fake(tmp_path) as node:
        node.wait_ready()
        answers(node, [OFFERED], 1)

        assert [line for line in node.lines() if line["level"] == "warning"] == []
