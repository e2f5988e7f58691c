"""POST /v1/batch: each request is answered or refused by itself, in order."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from tests.support import node as nodes
from tests.support import poll
from tests.support.node import Node


def batch(node: Node, *requests: Any) -> list[dict[str, Any]]:
    answer = node.http.post("/v1/batch", json={"requests": requests}, headers={"X-Request-Id": "lot-7"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["responses"])


def wait_load(node: Node, number: int) -> None:
    poll.until(
        lambda: node.http.get("/load").json(),
        lambda load: load == {"server_load": number},
        what=f"{number} open",
        within_s=30,
        every_s=0.02,
    )


def test_answers_come_in_order_and_are_what_generate_answers(node: Node) -> None:
    asked = [{"prompt": "abc", "max_tokens": 40}, {"prompt_tokens": [64, 65], "max_tokens": 3}]

    answers = batch(node, *asked)

    alone = [node.http.post("/v1/generate", json=one).json() for one in asked]
    assert [one["text"] for one in answers] == [one["text"] for one in alone]
    assert [one["request_id"] for one in answers] == ["lot-7-0", "lot-7-1"]
    assert all(one.keys() == other.keys() for one, other in zip(answers, alone, strict=True))


def test_what_is_wrong_with_one_does_not_touch_the_others(node: Node) -> None:
    answers = batch(
        node,
        {"prompt": "abc", "max_tokens": 2},
        {"prompt": "abc", "max_tokens": -1},
        {"prompt": "x" * 600},
        {"prompt_tokens": [999]},
        {"prompt": "abc", "stream": True},
        "no request at all",
        {"prompt": "xyz", "max_tokens": 2},
    )

    assert [one.get("text") for one in answers] == ["ab", None, None, None, None, None, "xy"]
    assert [one["error"]["param"] for one in answers if "error" in one] == [
        "max_tokens",
        "prompt",
        "prompt",
        "stream",
        None,
    ]


def test_a_batch_beyond_the_queue_is_answered_in_part_and_at_a_full_one_refused(tmp_path: Path) -> None:
    flags = ("--max-sequences", "1", "--max-waiting", "1")
    with (
        nodes.fake(tmp_path, *flags, engine_flags=("--step-s", "0.02")) as node,
        ThreadPoolExecutor() as pool,
    ):
        node.wait_ready()
        some = batch(node, *[{"prompt": "abc", "max_tokens": 2}] * 3)
        assert [one.get("text") or one["error"]["code"] for one in some] == ["ab", "ab", "queue_full"]

        long = {"requests": [{"prompt": "abc", "max_tokens": 100}] * 2}
        held = pool.submit(httpx.post, f"{node.url}/v1/batch", json=long, timeout=60)
        wait_load(node, 2)
        refused = node.http.post("/v1/batch", json=long)

        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert held.result().status_code == 200


def test_a_node_that_cannot_serve_refuses_a_batch_as_a_whole(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, engine_flags=("--step-s", "0.02")) as node, ThreadPoolExecutor() as pool:
        node.wait_ready()
        long = {"requests": [{"prompt": "abc", "max_tokens": 400}] * 2}
        held = pool.submit(httpx.post, f"{node.url}/v1/batch", json=long, timeout=60)
        wait_load(node, 2)
        node.engine().kill()

        assert held.result().status_code == 503
        assert held.result().json()["error"]["code"] == "engine_dead"
