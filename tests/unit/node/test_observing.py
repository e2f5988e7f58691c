"""What a node tells about its requests beside metrics: spans to a collector, and lines in the log."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import collector, poll
from tests.support import node as nodes
from tests.support.collector import Collector
from tests.support.node import Node

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
ASK = {"prompt": "abcd", "max_tokens": 3, "temperature": 0.5, "top_p": 0.25}


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector.running() as one:
        yield one


@pytest.fixture(scope="module")
def node(spans: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    flags = ["--otlp-endpoint", spans.url, "--log-requests", "true", "--max-waiting", "2"]
    with nodes.fake(tmp_path_factory.mktemp("node"), *flags) as running:
        running.wait_ready()
        yield running


def ended(node: Node, request_id: str) -> dict[str, object]:
    lines = [line for line in node.lines() if line.get("request_id") == request_id]
    told = [line for line in lines if line["message"] == "request ended"]
    assert len(told) == 1, lines
    return told[0]


def test_a_request_becomes_a_span_under_its_clients_trace(node: Node, spans: Collector) -> None:
    answer = node.http.post("/v1/completions", json=ASK, headers={"traceparent": TRACEPARENT}).json()

    (span,) = poll.until(
        lambda: [span for span in spans.spans if span.trace_id.hex() == TRACE_ID], what="a span", within_s=60
    )
    told = collector.attributes(span)
    assert span.parent_span_id.hex() == PARENT_ID
    assert span.name == "llm_request"
    assert spans.services == {"kvring-node"}
    assert str(told["gen_ai.request.id"]).startswith(answer["id"])
    wanted = {
        "gen_ai.response.model": "echo",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.request.max_tokens": 3,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.25,
        "gen_ai.request.n": 1,
        "gen_ai.usage.prompt_tokens": 4,
        "gen_ai.usage.completion_tokens": 3,
    }
    assert {name: told[name] for name in wanted} == wanted
    times = [f"time_in_model_{part}" for part in ("prefill", "decode", "inference")]
    for name in ("time_in_queue", "time_to_first_token", "e2e", *times):
        seconds = told[f"gen_ai.latency.{name}"]
        assert isinstance(seconds, float)
        assert 0 <= seconds < 30
    took_s = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    assert took_s == pytest.approx(told["gen_ai.latency.e2e"], abs=1e-5)
    assert abs(span.end_time_unix_nano / 1e9 - time.time()) < 60


def test_a_line_tells_what_a_request_took(node: Node) -> None:
    answer = node.http.post("/v1/completions", json=ASK, headers={"X-Request-Id": "order-66"}).json()

    line = poll.until(lambda: ended(node, "order-66"), what="its line", within_s=30)
    assert line["answer_id"] == f"{answer['id']}-0"
    assert line["finish_reason"] == "length"
    assert (line["prompt_tokens"], line["cached_tokens"], line["answer_tokens"]) == (4, 0, 3)
    for part in ("queue_s", "prefill_s", "decode_s", "total_s"):
        assert isinstance(line[part], float)


def test_every_answer_of_a_batch_has_its_line_under_one_request_id(node: Node) -> None:
    batch = {"requests": [{"prompt": "a", "max_tokens": 2}, {"prompt": "bc", "max_tokens": 3}]}
    node.http.post("/v1/batch", json=batch, headers={"X-Request-Id": "two"})

    lines = poll.until(
        lambda: [line for line in node.lines() if line.get("request_id") == "two"],
        lambda lines: len(lines) == 2,
        what="two lines",
        within_s=30,
    )
    assert sorted(line["answer_tokens"] for line in lines) == [2, 3]


def test_the_line_of_an_error_says_which_request_it_was(node: Node) -> None:
    node.http.post("/v1/completions", json={"prompt": ""}, headers={"X-Request-Id": "empty"})

    (line,) = poll.until(  # the client has its answer before the line is written
        lambda: [line for line in node.lines() if line.get("request_id") == "empty"],
        what="a line",
        within_s=30,
    )
    assert line["message"] == "POST /v1/completions -> 400"


@pytest.mark.parametrize("answers", [False, None], ids=["a collector that never answers", "no collector"])
def test_no_collector_holds_a_request_up_or_keeps_the_process(answers: bool | None, tmp_path: Path) -> None:
    with collector.running(answers=bool(answers)) as slow:
        endpoint = slow.url if answers is not None else "http://127.0.0.1:9"
        with nodes.fake(tmp_path, "--otlp-endpoint", endpoint) as node:
            node.wait_ready()
            began_at = time.monotonic()
            for _ in range(50):
                assert node.http.post("/v1/completions", json=ASK).status_code == 200
            assert time.monotonic() - began_at < 60, "each would wait for ten seconds"
            node.terminate()
            assert node.exit_code(within_s=25) == 0, "the collector would hold it for thirty"


def test_nothing_of_opentelemetrys_sdk_is_imported_without_an_endpoint() -> None:
    code = "import sys, kvring_node.front; print([n for n in sys.modules if n.startswith('opentelemetry.')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = shown.stdout
    assert "opentelemetry.sdk" not in imported
    assert "opentelemetry.exporter" not in imported


def test_requests_are_not_logged_unless_asked_for(tmp_path: Path) -> None:
    with nodes.fake(tmp_path) as node:
        node.wait_ready()
        node.http.post("/v1/completions", json=ASK)
        assert "request ended" not in json.dumps(node.lines())
