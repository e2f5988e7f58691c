"""Internal calls: only what the pool's key signed, for this path, now, is listened to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvring_contract import ring, wire

KEY, NOW, BODY = b"k" * 32, 1_800_000_000.0, b'{"fencing": 3}'
REPORT = wire.NodeReport("chat-0-1", True, False, "abc", 3, 7, "cafe", 1, 0, 10, 100, 5, 4)


def header(
    key: bytes = KEY, method: str = "POST", path: str = wire.DRAIN_PATH, body: bytes = BODY, at: float = NOW
):
    return wire.sign(key, method, path, body, at)


def test_a_signed_call_is_accepted() -> None:
    wire.verify(KEY, "POST", wire.DRAIN_PATH, BODY, header(), NOW + 5)


REFUSED = [
    ("no header", None),
    ("an empty header", ""),
    ("words", "let me in"),
    ("another pool's key", header(key=b"j" * 32)),
    ("another path", header(path=wire.RING_PATH)),
    ("another method", header(method="PUT")),
    ("another body", header(body=b'{"fencing": 4}')),
    ("a call of ten minutes ago", header(at=NOW - 600)),
    ("a call from the future", header(at=NOW + 600)),
    ("a moment in words", "t=noon,v1=00"),
    ("a moment in other digits", "t=٣,v1=00"),
    ("a signature in other letters", "t=1800000000,v1=ſ"),
]


@pytest.mark.parametrize(("what", "value"), REFUSED, ids=[row[0] for row in REFUSED])
def test_anything_else_is_refused(what: str, value: str | None) -> None:
    with pytest.raises(wire.BadSignature):
        wire.verify(KEY, "POST", wire.DRAIN_PATH, BODY, value, NOW)


@given(st.text())
def test_no_header_gets_through_by_chance(value: str) -> None:
    with pytest.raises(wire.BadSignature):
        wire.verify(KEY, "POST", wire.DRAIN_PATH, BODY, value, NOW)


def test_messages_are_read_as_written() -> None:
    push = wire.PushRing(4, ring.Ring(2, (ring.Member(0, "chat-0-1", "10.0.0.1", "m1"),), 256, 1))
    assert wire.PushRing.loads(push.dumps()) == push
    assert wire.Drain.loads(wire.Drain(9).dumps()) == wire.Drain(9)
    assert wire.NodeReport.loads(REPORT.dumps()) == REPORT


def test_a_newer_nodes_report_is_read_by_an_older_operator() -> None:
    body = {**json.loads(REPORT.dumps()), "something_new": 1}
    assert wire.NodeReport.loads(json.dumps(body)) == REPORT


GARBAGE = ["", "[]", "null", "{}", '{"pod": 3}', '{"fencing": "three"}', '{"fencing": 1e999}', b"\xff\xfe"]


@pytest.mark.parametrize("body", GARBAGE)
@pytest.mark.parametrize("message", [wire.PushRing, wire.Drain, wire.NodeReport])
def test_garbage_is_named_as_such(message, body) -> None:
    with pytest.raises(wire.InvalidMessage):
        message.loads(body)


def test_a_report_of_wrong_types_is_refused() -> None:
    body = {**json.loads(REPORT.dumps()), "loaded": "yes"}
    with pytest.raises(wire.InvalidMessage):
        wire.NodeReport.loads(json.dumps(body))
