"""Routes beside OpenAI's: /v1/generate, health, metrics, version, the OpenAPI document, request names."""

import json
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support import poll
from tests.support.node import Node

VLLM_NAMES = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
    "vllm:cache_config_info",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:gpu_prefix_cache_queries_total",
    "vllm:gpu_prefix_cache_hits_total",
    "vllm:num_preemptions_total",
    "vllm:prompt_tokens_total",
    "vllm:prompt_tokens_cached_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:time_per_output_token_seconds_bucket",
    "vllm:request_time_per_output_token_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:request_decode_time_seconds_bucket",
    "vllm:request_prompt_tokens_bucket",
    "vllm:request_generation_tokens_bucket",
    "vllm:request_params_max_tokens_bucket",
    "http_requests_total",
    "http_request_duration_seconds_bucket",
    "process_resident_memory_bytes",
}


def test_generate_answers_with_exactly_its_fields(node: Node) -> None:
    answer = node.http.post("/v1/generate", json={"prompt": "abc", "max_tokens": 7, "priority": 3}).json()

    assert answer.pop("latency_ms") > 0
    assert answer.pop("throughput_tokens_per_sec") > 0
    assert re.fullmatch(r"[0-9a-f]{32}", answer.pop("request_id"))
    assert answer.pop("token_ids") == [64, 65, 66, 64, 65, 66, 64]
    assert answer == {
        "prompt_tokens": 3,
        "generated_tokens": 7,
        "text": "abcabca",
        "finish_reason": "length",
    }


def test_generate_takes_token_ids(node: Node) -> None:
    answer = node.http.post("/v1/generate", json={"prompt_tokens": [64, 65], "max_tokens": 3}).json()

    assert (answer["text"], answer["prompt_tokens"]) == ("aba", 2)


@pytest.mark.parametrize("stream", [False, True])
def test_completions_give_token_ids_to_who_asks(node: Node, stream: bool) -> None:
    asked = {
        "prompt": [64, 65],
        "max_tokens": 3,
        "temperature": 0,
        "stream": stream,
        "return_token_ids": True,
    }
    said = node.http.post("/v1/completions", json=asked)
    events = [json.loads(event) for event in _events(said.text)[:-1]] if stream else [said.json()]

    assert [i for event in events for choice in event["choices"] for i in choice["token_ids"]] == [64, 65, 64]


def test_generate_streams_pieces_that_add_up(node: Node) -> None:
    asked = {"prompt": "aé", "max_tokens": 6}
    whole = node.http.post("/v1/generate", json=asked).json()
    answer = node.http.post("/v1/generate", json={**asked, "stream": True})
    events = _events(answer.text)
    pieces = [json.loads(event) for event in events[:-1]]

    assert "".join(piece["text"] for piece in pieces) == "aéaé"
    assert [one for piece in pieces for one in piece["token_ids"]] == whole["token_ids"]
    assert [piece["finish_reason"] for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert pieces[-1]["generated_tokens"] == 6


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/generate"])
def test_a_stream_is_made_of_data_lines_and_ends_with_done(node: Node, path: str) -> None:
    prompt = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {"prompt": "x"}
    answer = node.http.post(path, json={**prompt, "max_tokens": 5, "stream": True})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    events = _events(answer.text)
    assert events[-1] == "[DONE]"
    assert all(isinstance(json.loads(event), dict) for event in events[:-1])


def test_a_request_keeps_the_name_that_its_client_gave(node: Node) -> None:
    named = node.http.get("/health", headers={"X-Request-Id": "order-66"})
    unnamed = node.http.get("/health")
    unprintable = node.http.get("/nowhere", headers={"X-Request-Id": "a b\tc"})

    assert named.headers["x-request-id"] == "order-66"
    assert re.fullmatch(r"[0-9a-f]{32}", unnamed.headers["x-request-id"])
    assert re.fullmatch(r"[0-9a-f]{32}", unprintable.headers["x-request-id"])


def test_generate_calls_a_request_what_its_client_calls_it(node: Node) -> None:
    answer = node.http.post("/v1/generate", json={"prompt": "x"}, headers={"X-Request-Id": "order-66"})

    assert answer.json()["request_id"] == "order-66"


@pytest.mark.parametrize("path", ["/health", "/v1/health", "/ready"])
def test_a_serving_node_is_healthy_and_ready(node: Node, path: str) -> None:
    answer = node.http.get(path)

    assert answer.status_code == 200
    assert answer.json() == {"status": "serving", "ready": True, "model": "echo"}


def test_sagemaker_may_ask_either_way(node: Node) -> None:
    assert node.http.get("/ping").json() == node.http.post("/ping").json() == node.http.get("/health").json()


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/models", "/openapi.json", "/nowhere"])
def test_head_is_get_without_its_body(node: Node, path: str) -> None:
    head, get = node.http.head(path), node.http.get(path)

    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_is_not_post(node: Node) -> None:
    assert node.http.head("/v1/completions").status_code == 405


def test_a_model_may_be_asked_for_by_its_name(node: Node) -> None:
    (listed,) = node.http.get("/v1/models").json()["data"]

    assert node.http.get("/v1/models/echo").json() == listed
    assert node.http.get("/v1/models/org/other").json()["error"]["code"] == "model_not_found"


def test_a_node_with_nothing_to_do_has_no_load(node: Node) -> None:
    poll.until(
        lambda: node.http.get("/load").json(),
        lambda load: load == {"server_load": 0},
        what="no load",
        within_s=30,
        every_s=0.02,
    )


def test_version(node: Node) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", node.http.get("/version").json()["version"])


def test_metrics_as_json(node: Node) -> None:
    answer = node.http.get("/v1/metrics").json()

    assert answer["pages_total"] == 100
    assert set(answer) >= {"requests_running", "requests_waiting", "prefix_hits_tokens", "engine_steps"}


def test_prometheus_understands_the_metrics_and_finds_vllms_names(node: Node) -> None:
    node.http.post("/v1/completions", json={"prompt": "x", "max_tokens": 3})

    samples = _samples(node)

    assert {name for name, _, _ in samples} >= VLLM_NAMES
    assert all(labels["model_name"] == "echo" for name, labels, _ in samples if name.startswith("vllm:"))


def test_metrics_count_a_request_once(node: Node) -> None:
    before = _samples(node)
    node.http.post("/v1/completions", json={"prompt": "abcd", "max_tokens": 3})
    after = _samples(node)

    def grown(name: str, **labels: str) -> float:
        return _value(after, name, labels) - _value(before, name, labels)

    assert grown("vllm:prompt_tokens_total") == 4
    assert grown("vllm:generation_tokens_total") == 3
    assert grown("vllm:request_success_total", finished_reason="length") == 1
    assert grown("vllm:time_to_first_token_seconds_count") == 1
    assert grown("http_requests_total", handler="/v1/completions", method="POST", status="2xx") == 1


def test_paths_that_do_not_exist_do_not_make_labels(node: Node) -> None:
    node.http.get("/secret/1")
    node.http.request("BREW", "/coffee")

    handlers = {labels["handler"] for name, labels, _ in _samples(node) if name == "http_requests_total"}

    assert "unmatched" in handlers
    assert not any("secret" in handler or "coffee" in handler for handler in handlers)


def test_the_openapi_document_describes_every_route(node: Node) -> None:
    document = node.http.get("/openapi.json").json()
    routes = {(method, path) for path, methods in document["paths"].items() for method in methods}

    assert routes >= {
        ("post", "/v1/completions"),
        ("post", "/v1/chat/completions"),
        ("post", "/v1/generate"),
        ("post", "/v1/batch"),
        ("post", "/tokenize"),
        ("post", "/detokenize"),
        ("get", "/v1/models"),
        ("get", "/metrics"),
        ("put", "/internal/v1/ring"),
    }
    schemas = document["components"]["schemas"]
    assert {_named(ref) for ref in _refs(document)} <= set(schemas)
    assert schemas["CompletionRequest"]["additionalProperties"] is False
    assert schemas["CompletionRequest"]["required"] == ["prompt"]


def _events(text: str) -> list[str]:
    assert text.endswith("\n\n")
    lines = text[:-2].split("\n\n")
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line.removeprefix("data: ") for line in lines]


def _samples(node: Node) -> list[tuple[str, dict[str, str], float]]:
    text = node.http.get("/metrics").text
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def _value(samples: list[tuple[str, dict[str, str], float]], name: str, labels: dict[str, str]) -> float:
    return sum(value for one, found, value in samples if one == name and labels.items() <= found.items())


def _refs(document: Any) -> set[str]:
    if isinstance(document, dict):
        own = {document["$ref"]} if isinstance(document.get("$ref"), str) else set()
        return own.union(*map(_refs, document.values()))
    return set().union(*map(_refs, document)) if isinstance(document, list) else set()


def _named(ref: str) -> str:
    return ref.removeprefix("#/components/schemas/")
