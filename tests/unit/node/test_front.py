"""The node's life as Kubernetes sees it: signals, deaths, floods, clients that go away."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.support import node as nodes
from tests.support import poll
from tests.support.node import Node

SLOW = ("--step-s", "0.02")
LONG = {"prompt": "abc", "max_tokens": 100}
LONGER = {**LONG, "max_tokens": 500}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node of its own for each test, two seconds for a hundred tokens."""
    with nodes.fake(tmp_path, engine_flags=SLOW) as running:
        running.wait_ready()
        yield running


def wait_running(node: Node, number: int = 1) -> None:
    poll.until(
        lambda: node.http.get("/v1/metrics").json()["requests_running"],
        lambda running: running == number,
        what=f"{number} running",
        within_s=30,
        every_s=0.02,
    )


def wait_told(node: Node, *kinds: str) -> None:
    """Just these messages have come to the engine."""
    poll.until(
        lambda: [message["type"] for message in node.received()],
        lambda came: came == [*kinds],
        what=f"the engine is told {kinds}",
        within_s=30,
        every_s=0.01,
    )


def connected(node: Node) -> socket.socket:
    host, port = node.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


@contextlib.contextmanager
def kept_connection(node: Node, timeout_s: float) -> Iterator[socket.socket]:
    """A connection on which one request has been answered."""
    with contextlib.closing(
        http.client.HTTPConnection(node.url.removeprefix("http://"), timeout=timeout_s)
    ) as client:
        client.request("GET", "/health")
        client.getresponse().read()
        assert client.sock
        yield client.sock


def test_the_front_never_loads_torch() -> None:
    program = "import sys, kvring_node.__main__; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("ends", [os.kill, os.killpg], ids=["the node", "its process group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_requests_finish_and_ends_well(
    node: Node, ends: Callable[[int, int], None], number: int
) -> None:
    with ThreadPoolExecutor() as pool:
        running = pool.submit(httpx.post, f"{node.url}/v1/completions", json=LONG, timeout=60)
        wait_running(node)

        ends(node.process.pid, number)
        poll.until(lambda: not node.is_ready(), what="not ready", within_s=30, every_s=0.02)

        assert running.result().json()["choices"][0]["text"] == "abc" * 33 + "a"
    assert node.exit_code() == 0


def test_requests_that_come_shortly_after_sigterm_are_served(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, "--drain-lag-s", "600") as node:
        node.wait_ready()
        node.terminate()
        poll.until(lambda: not node.is_ready(), what="not ready", within_s=30, every_s=0.02)

        late = node.http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})

        assert late.status_code == 200
        node.terminate()  # it waits no longer for others
        assert node.exit_code() == 0


def test_a_drain_closes_idle_connections_and_lets_requests_finish(tmp_path: Path) -> None:
    with (
        nodes.fake(tmp_path, "--drain-lag-s", "0.2", engine_flags=SLOW) as node,
        ThreadPoolExecutor() as pool,
    ):
        node.wait_ready()
        running = pool.submit(httpx.post, f"{node.url}/v1/completions", json=LONGER, timeout=60)
        wait_running(node)
        with kept_connection(node, timeout_s=60) as idle:
            node.terminate()

            assert idle.recv(4096) == b""
            assert not running.done()
        assert running.result().status_code == 200
        assert node.exit_code() == 0


@pytest.mark.slow
def test_a_connection_may_be_idle_for_longer_than_uvicorns_five_seconds(node: Node) -> None:
    with kept_connection(node, timeout_s=8) as idle, pytest.raises(TimeoutError):
        idle.recv(4096)


def test_the_grace_ends_requests_that_outlast_it(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, "--grace-s", "0.5", engine_flags=SLOW) as node:
        node.wait_ready()
        with node.http.stream("POST", "/v1/completions", json={**LONGER, "stream": True}) as answer:
            lines = (line for line in answer.iter_lines() if line)
            next(lines)
            node.terminate()
            *_, error, done = lines

        assert json.loads(error.removeprefix("data: "))["error"]["type"] == "service_unavailable_error"
        assert done == "data: [DONE]"
        assert node.exit_code() == 0


def test_a_second_sigterm_ends_at_once(node: Node) -> None:
    with ThreadPoolExecutor() as pool:
        running = pool.submit(httpx.post, f"{node.url}/v1/completions", json=LONGER, timeout=60)
        wait_running(node)
        node.terminate()
        poll.until(lambda: not node.is_ready(), what="not ready", within_s=30, every_s=0.02)
        node.terminate()

        assert node.exit_code() == 0
        assert running.result().status_code == 503, "it did not wait for the request"


def test_sigterm_while_loading_ends_at_once(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, engine_flags=("--never-load",)) as node:
        node.terminate()

        assert node.exit_code() == 0


def test_a_killed_engine_is_noticed_told_and_ends_the_node(node: Node) -> None:
    whole: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: whole.append(httpx.post(f"{node.url}/v1/completions", json=LONGER, timeout=60))
    )
    asking.start()
    with node.http.stream("POST", "/v1/completions", json={**LONGER, "stream": True}) as answer:
        lines = (line for line in answer.iter_lines() if line)
        next(lines)
        wait_running(node, 2)

        node.engine().kill()
        poll.until(lambda: not node.is_ready(), what="not ready", within_s=30, every_s=0.02)
        *_, error, done = lines

    asking.join()
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "engine_dead"
    assert done == "data: [DONE]"
    assert (whole[0].status_code, whole[0].json()["error"]["code"]) == (503, "engine_dead")
    assert whole[0].headers["retry-after"] == "1"
    assert node.exit_code() == 1
    word = json.loads(node.last_word.read_text())
    assert word["reason"] == "EngineDied"
    assert "SIGKILL" in word["message"]


def test_an_engine_that_hangs_fails_the_probes_until_it_answers_again(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, "--max-silence-s", "2") as node:  # it says something every second
        node.wait_ready()
        engine = node.engine()

        engine.suspend()
        poll.until(lambda: not node.is_ready(), what="not ready", within_s=30, every_s=0.05)

        for path in ("/ready", "/health"):
            answer = node.http.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_hung")
        assert node.http.post("/v1/completions", json=LONG).status_code == 503
        samples = node.http.get("/metrics").text.splitlines()
        assert [one[-4:] for one in samples if one.startswith("kvring_ready")] == [" 0.0"]
        engine.resume()
        node.wait_ready()
        assert node.http.post("/v1/completions", json=LONG).status_code == 200


def test_an_engine_that_cannot_be_understood_ends_the_node(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, engine_flags=("--babble",)) as node:
        node.wait_ready()

        answer = node.http.post("/v1/completions", json=LONG)

        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_dead")
        assert node.exit_code() == 1
        assert "cannot be understood" in json.loads(node.last_word.read_text())["message"]


def test_an_engine_dies_with_its_front(node: Node) -> None:
    engine = node.engine()

    node.process.kill()

    poll.until(lambda: nodes.has_ended(engine), what="the engine's end", within_s=60, every_s=0.1)


def test_a_model_that_cannot_be_loaded_leaves_a_last_word(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, engine_flags=("--fail", "ModelCorrupt")) as node:
        assert node.exit_code() == 1

        word = json.loads(node.last_word.read_text())
        assert word == {"reason": "ModelCorrupt", "message": "the fake was told to fail; tell it not to"}
        assert node.lines()[-1]["reason"] == "ModelCorrupt"


def test_a_tokenizer_that_cannot_be_read_leaves_a_last_word(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with nodes.fake(tmp_path, "--model", str(empty)) as node:
        assert node.exit_code() == 1

        assert json.loads(node.last_word.read_text())["reason"] == "ModelIncomplete"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_goes_away_frees_its_request_at_once(node: Node, stream: bool) -> None:
    body = json.dumps({**LONGER, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with connected(node) as client:
        client.sendall(head.encode() + body)
        wait_told(node, "Submit")
        if stream:
            assert client.recv(12) == b"HTTP/1.1 200"

    wait_told(node, "Submit", "Abort")
    wait_running(node, 0)
    assert [line for line in node.lines() if line["level"] == "error"] == []


def test_a_client_that_goes_away_in_the_middle_of_its_body_is_no_error_of_ours(node: Node) -> None:
    with connected(node) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")

    poll.until(lambda: [line["message"] for line in node.lines()],
               lambda messages: "POST /v1/completions -> 499" in messages,
               what="a line in the log", within_s=30, every_s=0.02)  # fmt: skip
    assert [line for line in node.lines() if line["level"] == "error"] == []


def test_a_full_queue_sends_clients_away_and_takes_them_again(tmp_path: Path) -> None:
    flags = ("--max-sequences", "1", "--max-waiting", "1")
    with nodes.fake(tmp_path, *flags, engine_flags=SLOW) as node, ThreadPoolExecutor() as pool:
        node.wait_ready()
        asking = [
            pool.submit(httpx.post, f"{node.url}/v1/completions", json=LONG, timeout=60) for _ in range(2)
        ]
        wait_running(node, 2)

        refused = node.http.post("/v1/completions", json=LONG)

        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert refused.headers["retry-after"] == "1"
        assert [one.result().status_code for one in asking] == [200, 200]
        assert node.http.post("/v1/completions", json={"prompt": "x"}).status_code == 200


def test_more_prompts_than_ever_fit_are_refused_for_good(tmp_path: Path) -> None:
    with nodes.fake(tmp_path, "--max-sequences", "1", "--max-waiting", "2") as node:
        node.wait_ready()
        answers = [
            node.http.post("/v1/completions", json={"prompt": ["x"] * num_prompts, "max_tokens": 1})
            for num_prompts in (3, 4)
        ]

        assert [one.status_code for one in answers] == [200, 400]
        assert answers[1].json()["error"]["param"] == "prompt"


def test_each_answer_counts_where_the_queue_is_bounded(tmp_path: Path) -> None:
    flags = ("--max-sequences", "1", "--max-waiting", "1")
    with nodes.fake(tmp_path, *flags, engine_flags=SLOW) as node, ThreadPoolExecutor() as pool:
        node.wait_ready()
        two = pool.submit(httpx.post, f"{node.url}/v1/completions", json={**LONG, "n": 2}, timeout=60)
        wait_running(node, 1)

        assert node.http.post("/v1/completions", json=LONG).status_code == 429
        assert two.result().status_code == 200


TURN = {"role": "user", "content": ""}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "def f(x): " * 100_000}),
        ("/v1/chat/completions", {"messages": [TURN] * 40_000}),
        ("/tokenize", {"prompt": "def f(x): " * 50_000, "return_token_strs": True}),
    ],
    ids=["of text", "of turns without a word", "to be spelled out"],
)
def test_a_prompt_of_megabytes_does_not_stop_other_requests(
    path: str, body: dict[str, object], tmp_path: Path
) -> None:
    content = json.dumps(body).encode()

    def share_of_longest_wait(node: Node) -> float:
        """Of the others', in the time that the large one takes."""
        # Clients take a while to make, which would stop the one who measures.
        with ThreadPoolExecutor() as pool, httpx.Client(base_url=node.url, timeout=60) as client:
            moments = [time.monotonic()]
            large = pool.submit(client.post, path, content=content)
            while not large.done():
                assert node.http.get("/health").status_code == 200
                moments.append(time.monotonic())
        assert large.result().status_code == (200 if path == "/tokenize" else 400)
        longest_s = max(later - sooner for sooner, later in itertools.pairwise(moments))
        return longest_s / (moments[-1] - moments[0])

    with nodes.fake(tmp_path) as node:
        node.wait_ready()

        assert any(share_of_longest_wait(node) < 1 / 4 for _ in range(3)), "a busy machine seldom errs thrice"


@pytest.mark.parametrize(
    ("flags", "environ", "reason", "remedy"),
    [
        (
            (),
            {"KVRING_MAX_SEQUENCES": "many"},
            "InvalidSettings",
            "KVRING_MAX_SEQUENCES: 'many' is not a whole",
        ),
        (("--colour", "red"), {}, "InvalidSettings", "--help tells of all settings"),
        (("--port", "{taken}"), {}, "CannotStart", "choose another --port"),
        (("--port", "0", "--host", "192.0.2.1"), {}, "CannotStart", "choose another --host"),
        (("--port", "0", "--host", "a..b"), {}, "CannotStart", "choose another --host"),
        (("--port", "0"), {"TMPDIR": "{long}"}, "CannotStart", "set TMPDIR to a short path"),
    ],
    ids=["a variable", "a flag", "a port", "an address", "no address", "a folder"],
)
def test_a_node_that_cannot_start_says_why_and_ends_with_code_2(
    node: Node, flags: tuple[str, ...], environ: dict[str, str], reason: str, remedy: str, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    word = tmp_path / "last-word"
    word.touch()
    named = {"taken": node.url.rsplit(":", 1)[1], "long": str(long)}
    command = [sys.executable, "-m", "tests.support.fake_node", str(word), "--", "--model", str(tmp_path)]

    ended = subprocess.run(
        [*command, "--host", "127.0.0.1", *(flag.format(**named) for flag in flags)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **{name: value.format(**named) for name, value in environ.items()}},
    )

    last = json.loads(word.read_text())
    assert (ended.returncode, last["reason"]) == (2, reason)
    assert remedy in last["message"]
    assert len(ended.stderr.splitlines()) == 1
    assert last["message"] in ended.stderr
    assert [*long.iterdir()] == []
