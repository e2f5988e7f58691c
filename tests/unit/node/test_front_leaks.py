"""Whatever clients do, the node is afterwards as it was before: no request, task, file or mailbox is kept."""

import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.support import node as nodes
from tests.support import poll
from tests.support.node import Node

NUM_ROUNDS = 40


def post(node: Node, *, timeout: float | httpx.Timeout = 60, **sent: Any) -> httpx.Response:
    return httpx.post(f"{node.url}/v1/completions", timeout=timeout, **sent)


def served(node: Node) -> None:
    assert post(node, json={"prompt": "x", "max_tokens": 5}).status_code == 200


def streamed(node: Node) -> None:
    body = {"prompt": "x", "max_tokens": 5, "stream": True}
    assert post(node, json=body).text.endswith("[DONE]\n\n")


def stopped(node: Node) -> None:
    body = {"prompt": "abc", "max_tokens": 400, "stop": "ca"}
    assert post(node, json=body).json()["choices"][0]["text"] == "ab"


def refused(node: Node) -> None:
    assert post(node, content=b'{"prompt": \xff').status_code == 400
    assert post(node, json={"prompt": [1, 999]}).status_code == 400


def refused_in_part(node: Node) -> None:
    body = {"prompt": ["fine", "x" * 600], "max_tokens": 400}
    assert post(node, json=body).status_code == 400


def left_while_waiting(node: Node) -> None:
    with contextlib.suppress(httpx.ReadTimeout):
        post(node, json={"prompt": "x", "max_tokens": 400}, timeout=httpx.Timeout(60, read=0.05))


def left_while_reading(node: Node) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 400, "stream": True}
    with httpx.stream("POST", f"{node.url}/v1/chat/completions", json=body, timeout=60) as answer:
        next(answer.iter_lines())


CLIENTS: tuple[Callable[[Node], None], ...] = (
    served,
    streamed,
    stopped,
    refused,
    refused_in_part,
    left_while_waiting,
    left_while_reading,
)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, engine_flags=("--step-s", "0.002")) as node, ThreadPoolExecutor(4) as pool:
        node.wait_ready()
        for client in CLIENTS:
            client(node)
        process = psutil.Process(node.process.pid)
        before = _quiet_files(node, process)

        for asked in [pool.submit(client, node) for _ in range(NUM_ROUNDS) for client in CLIENTS]:
            asked.result()

        assert _quiet_files(node, process) == before
        submitted = [json.loads(line) for line in node.journal.read_text().splitlines()]
        assert len([one for one in submitted if one["type"] == "Submit"]) > NUM_ROUNDS * 5
        node.terminate()
        assert node.exit_code() == 0  # it ends only when no request is open


def _quiet_files(node: Node, process: psutil.Process) -> int:
    """Open files once nothing runs and all connections but one are closed."""

    def connections() -> int:
        return sum(one.status != psutil.CONN_LISTEN for one in process.net_connections(kind="tcp"))

    poll.until(
        lambda: (node.http.get("/v1/metrics").json()["requests_running"], connections()),
        lambda seen: seen == (0, 1),
        what="no request runs and only this connection is open",
        within_s=60,
        every_s=0.1,
    )
    return process.num_fds()
