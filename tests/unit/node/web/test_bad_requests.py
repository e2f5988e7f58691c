"""What is wrong with a request, what the client is told, and that the node serves on."""

import json
from typing import Any

import pytest
from tests.support.node import Node

COMPLETE = {"prompt": "x", "max_tokens": 1}
CHAT = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}

REFUSED_COMPLETIONS: list[tuple[str, dict[str, Any], int, str, str | None]] = [
    ("no prompt", {"max_tokens": 1}, 400, "missing_required_parameter", "prompt"),
    ("a prompt that is a number", {"prompt": 1}, 400, "invalid_value", "prompt"),
    ("an empty list of prompts", {"prompt": []}, 400, "invalid_value", "prompt"),
    ("an empty prompt", {"prompt": ""}, 400, "invalid_value", "prompt"),
    ("texts and token ids mixed", {"prompt": ["a", 1]}, 400, "invalid_value", "prompt"),
    ("a negative token id", {"prompt": [-1]}, 400, "invalid_value", "prompt[0]"),
    ("a token id beyond the vocabulary", {"prompt": [99999]}, 400, "invalid_value", "prompt"),
    ("a prompt longer than the model", {"prompt": "x" * 600}, 400, "context_length_exceeded", "prompt"),
    ("a prompt as long as the model", {"prompt": "x" * 512}, 400, "context_length_exceeded", "prompt"),
    ("more tokens than there is room", {"max_tokens": 512}, 400, "context_length_exceeded", "max_tokens"),
    ("negative max_tokens", {"max_tokens": -1}, 400, "invalid_value", "max_tokens"),
    ("max_tokens of zero", {"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    ("max_tokens that is a text", {"max_tokens": "9"}, 400, "invalid_value", "max_tokens"),
    ("max_tokens without end", {"max_tokens": 10**30}, 400, "invalid_value", "max_tokens"),
    ("a temperature below zero", {"temperature": -0.1}, 400, "invalid_value", "temperature"),
    ("a temperature above two", {"temperature": 2.1}, 400, "invalid_value", "temperature"),
    ("top_p of zero", {"top_p": 0}, 400, "invalid_value", "top_p"),
    ("an empty stop string", {"stop": [""]}, 400, "invalid_value", "stop[0]"),
    ("too many stop strings", {"stop": ["a"] * 17}, 400, "invalid_value", "stop"),
    ("an unknown model", {"model": "gpt-4"}, 404, "model_not_found", "model"),
    ("an unknown field", {"promt": "x"}, 400, "unknown_parameter", "promt"),
    ("an unknown field within", {"stream_options": {"x": 1}}, 400, "unknown_parameter", "stream_options.x"),
    ("two answers", {"n": 2}, 400, "unsupported_parameter", "n"),
    ("the best of two", {"best_of": 2}, 400, "unsupported_parameter", "best_of"),
    ("log-probabilities", {"logprobs": 0}, 400, "unsupported_parameter", "logprobs"),
    ("a bias", {"logit_bias": {"1": 5}}, 400, "unsupported_parameter", "logit_bias"),
    ("a penalty", {"presence_penalty": 0.5}, 400, "unsupported_parameter", "presence_penalty"),
    ("an echo", {"echo": True}, 400, "unsupported_parameter", "echo"),
    ("a suffix", {"suffix": "x"}, 400, "unsupported_parameter", "suffix"),
]

REFUSED_CHATS: list[tuple[str, dict[str, Any], int, str, str | None]] = [
    ("no messages", {"messages": []}, 400, "invalid_value", "messages"),
    (
        "an unknown role",
        {"messages": [{"role": "x", "content": "y"}]},
        400,
        "invalid_value",
        "messages[0].role",
    ),
    (
        "an image",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "text": ""}]}]},
        400,
        "invalid_value",
        "messages[0].content[0].type",
    ),
    ("tools", {"tools": [{"type": "function"}]}, 400, "unsupported_parameter", "tools"),
    (
        "a JSON answer",
        {"response_format": {"type": "json_object"}},
        400,
        "unsupported_parameter",
        "response_format",
    ),
    (
        "a conversation longer than the model",
        {"messages": [{"role": "user", "content": "x" * 600}]},
        400,
        "context_length_exceeded",
        "messages",
    ),
]

BODIES: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 400, "invalid_json"),
    ("half an object", b'{"prompt": ', 400, "invalid_json"),
    ("a list", b"[]", 400, "invalid_value"),
    ("bytes that are no UTF-8", b'{"prompt": "\xff\xfe"}', 400, "invalid_json"),
    ("half a surrogate pair", b'{"prompt": "\\ud800"}', 400, "invalid_json"),
    ("a number that is none", b'{"prompt": "x", "temperature": NaN}', 400, "invalid_json"),
    ("nesting without end", b'{"metadata":' + b"[" * 100_000, 400, "invalid_json"),
    ("ten million bytes", b'{"prompt": "' + b"x" * 10_000_000 + b'"}', 413, "body_too_large"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_a_body_that_is_not_a_request(node: Node, body: bytes, status: int, code: str) -> None:
    answer = node.http.post("/v1/completions", content=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_chunked_body_without_a_length_is_limited_too(node: Node) -> None:
    chunks = (b"x" * 100_000 for _ in range(100))

    answer = node.http.post("/v1/completions", content=chunks)

    assert answer.status_code == 413


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [row[1:] for row in REFUSED_COMPLETIONS],
    ids=[row[0] for row in REFUSED_COMPLETIONS],
)
def test_a_completion_is_refused_for(
    node: Node, fields: dict[str, Any], status: int, code: str, param: str | None, stream: bool
) -> None:
    base = {} if code == "missing_required_parameter" else COMPLETE

    _expect(node, "/v1/completions", {**base, **fields, "stream": stream}, status, code, param)


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [row[1:] for row in REFUSED_CHATS],
    ids=[row[0] for row in REFUSED_CHATS],
)
def test_a_chat_is_refused_for(
    node: Node, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    _expect(node, "/v1/chat/completions", {**CHAT, **fields}, status, code, param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "x", "prompt_tokens": [1]}, "prompt"),
        ({"prompt": "x", "stop": "y"}, "stop"),
        ({"prompt": "x", "max_tokens": -1}, "max_tokens"),
        ({"prompt_tokens": []}, "prompt"),
    ],
    ids=["neither text nor ids", "both", "a field of another API", "negative max_tokens", "no ids"],
)
def test_generate_refuses(node: Node, body: dict[str, Any], param: str) -> None:
    answer = node.http.post("/v1/generate", json=body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/completions/", 404, "not_found"),
    ],
)
def test_a_wrong_path_or_method(node: Node, method: str, path: str, status: int, code: str) -> None:
    answer = node.http.request(method, path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u", "metadata": {"a": "b"}, "store": False},
        {"n": 1, "best_of": 1, "logprobs": None, "logit_bias": {}, "echo": False},
        {"presence_penalty": 0.0, "frequency_penalty": 0, "top_k": -1, "repetition_penalty": 1.0},
        {"response_format": {"type": "text"}, "stream": False, "stream_options": None},
    ],
    ids=["fields without effect", "OpenAI's harmless values", "no penalties", "plain text"],
)
def test_a_field_that_asks_for_nothing_is_welcome(node: Node, fields: dict[str, Any]) -> None:
    assert node.http.post("/v1/completions", json={**COMPLETE, **fields}).status_code == 200


def _expect(node: Node, path: str, body: dict[str, Any], status: int, code: str, param: str | None) -> None:
    answer = node.http.post(path, content=json.dumps(body))
    error = answer.json()["error"]

    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert len(error["message"]) > 10
