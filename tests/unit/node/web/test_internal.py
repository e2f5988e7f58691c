"""What the operator may tell a node: signed by the pool's key, fenced by the leader, never backwards."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support import node as nodes
from tests.support import poll
from tests.support.node import Node
from tests.unit.node.web.conftest import KEY

from kvring_contract import ring as rings
from kvring_contract import wire


def call(
    node: Node, method: str, path: str, body: str = "", key: bytes = KEY, age_s: float = 0.0
) -> httpx.Response:
    content = body.encode()
    signature = wire.sign(key, method, path, content, time.time() - age_s)
    return node.http.request(method, path, content=content, headers={wire.SIGNATURE_HEADER: signature})


def ring(epoch: int, *slots: int) -> rings.Ring:
    members = tuple(rings.Member(slot, f"chat-{slot}-1", f"10.0.0.{slot}", "vm") for slot in slots)
    return rings.Ring(epoch, members, virtual_nodes=256, replication_factor=2)


def push(node: Node, fencing: int, held: rings.Ring) -> tuple[int, wire.NodeReport]:
    answer = call(node, "PUT", wire.RING_PATH, wire.PushRing(fencing, held).dumps())
    return answer.status_code, wire.NodeReport.loads(answer.content)


@pytest.fixture
def fresh(tmp_path: Path, key_file: Path) -> Iterator[Node]:
    """A node that holds no ring yet."""
    with nodes.fake(tmp_path, "--internal-key-file", str(key_file), "--pod", "chat-0-1") as running:
        running.wait_ready()
        yield running


def test_a_node_takes_rings_forward_and_never_backwards(fresh: Node) -> None:
    report = wire.NodeReport.loads(call(fresh, "GET", wire.REPORT_PATH).content)
    assert (report.pod, report.loaded, report.draining, report.ring_epoch) == ("chat-0-1", True, False, -1)
    assert (report.ring_checksum, report.cache_total_bytes) == ("", 409600)

    for sentence, fencing, offered, status, held_fencing, held_epoch in (
        ("the first ring is taken", 4, ring(7, 0, 1), 200, 4, 7),
        ("the same ring again is welcome", 4, ring(7, 0, 1), 200, 4, 7),
        ("the same epoch with other members is refused", 4, ring(7, 0), 409, 4, 7),
        ("an older epoch of the same leader is refused", 4, ring(6, 0), 409, 4, 7),
        ("a newer epoch of the same leader is taken", 4, ring(9, 0), 200, 4, 9),
        ("an older leader is refused, whatever it brings", 3, ring(99, 0), 409, 4, 9),
        ("a newer leader may set the epoch anew", 5, ring(2, 0, 1), 200, 5, 2),
    ):
        code, report = push(fresh, fencing, offered)
        assert (code, report.fencing, report.ring_epoch) == (status, held_fencing, held_epoch), sentence
    assert report.ring_checksum == ring(2, 0, 1).checksum


def test_a_drain_call_makes_a_node_unready_and_then_closed(fresh: Node) -> None:
    push(fresh, 5, ring(1, 0))
    late = call(fresh, "POST", wire.DRAIN_PATH, wire.Drain(4).dumps())
    assert (late.status_code, fresh.is_ready()) == (409, True)

    answer = call(fresh, "POST", wire.DRAIN_PATH, wire.Drain(5).dumps())

    assert wire.NodeReport.loads(answer.content).draining
    assert not fresh.is_ready()
    refused = poll.until(
        lambda: fresh.http.post("/v1/completions", json={"prompt": "x"}),
        lambda answer: answer.status_code == 503,
        what="refusal after the lag",
        within_s=30,
        every_s=0.05,
    )
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["connection"] == "close"
    assert refused.json()["error"]["code"] == "unavailable"
    assert fresh.http.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", wire.RING_PATH), ("GET", wire.REPORT_PATH), ("POST", wire.DRAIN_PATH)],
)
def test_an_unsigned_call_is_refused(node: Node, method: str, path: str) -> None:
    body = wire.PushRing(10**9, ring(10**9)).dumps() if method == "PUT" else wire.Drain(10**9).dumps()
    attempts = {
        "no signature": node.http.request(method, path, content=body),
        "another key": call(node, method, path, body, key=b"stolen"),
        "too old": call(node, method, path, body, age_s=wire.MAX_SKEW_S + 10),
        "from the future": call(node, method, path, body, age_s=-wire.MAX_SKEW_S - 10),
        "signed for another path": node.http.request(
            method,
            path,
            content=body,
            headers={wire.SIGNATURE_HEADER: wire.sign(KEY, method, "/v1/models", body.encode(), time.time())},
        ),
        "signed for another body": node.http.request(
            method,
            path,
            content=body + " ",
            headers={wire.SIGNATURE_HEADER: wire.sign(KEY, method, path, body.encode(), time.time())},
        ),
    }

    answers = {name: (one.status_code, one.json()["error"]["code"]) for name, one in attempts.items()}

    assert answers == dict.fromkeys(attempts, (401, "bad_signature"))
    assert node.is_ready()


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"fencing": 1}', '{"fencing": 1, "ring": {"epoch": 1}}', '{"fencing": "x"}']
)
def test_a_signed_call_that_is_no_ring_is_refused(node: Node, body: str) -> None:
    answer = call(node, "PUT", wire.RING_PATH, body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_message")


def test_without_a_key_there_is_nothing_internal(tmp_path: Path) -> None:
    with nodes.fake(tmp_path) as keyless:
        assert call(keyless, "GET", wire.REPORT_PATH).status_code == 404
