"""What is wrong with a request, what the client is told, and that the node serves on."""

import gzip
import json
from typing import Any

import pytest
from tests.support.node import Node

COMPLETE = {"prompt": "x", "max_tokens": 1}
CHATS = "/v1/chat/completions"
TALK: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
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
    ("max_tokens that is no integer", {"max_tokens": 16.5}, 400, "invalid_value", "max_tokens"),
    ("one of two that is none", {"seed": 1.0, "max_tokens": 16.5}, 400, "invalid_value", "max_tokens"),
    ("max_tokens out of range as a double", {"max_tokens": 1e300}, 400, "invalid_value", "max_tokens"),
    ("a token id that is none", {"prompt": [1, 1.5]}, 400, "invalid_value", "prompt[1]"),
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
    ("no answer at all", {"n": 0}, 400, "invalid_value", "n"),
    ("more answers than an engine makes", {"n": 129}, 400, "invalid_value", "n"),
    ("the best of two", {"best_of": 2}, 400, "unsupported_parameter", "best_of"),
    ("a suffix", {"suffix": "x"}, 400, "unsupported_parameter", "suffix"),
    ("more log probabilities than are given", {"logprobs": 21}, 400, "invalid_value", "logprobs"),
    ("log probabilities as chats ask for them", {"logprobs": True}, 400, "invalid_value", "logprobs"),
    ("a penalty beyond two", {"presence_penalty": 2.1}, 400, "invalid_value", "presence_penalty"),
    ("a penalty below minus two", {"frequency_penalty": -3}, 400, "invalid_value", "frequency_penalty"),
    ("a divisor of zero", {"repetition_penalty": 0}, 400, "invalid_value", "repetition_penalty"),
    ("top_k below minus one", {"top_k": -2}, 400, "invalid_value", "top_k"),
    ("min_p above one", {"min_p": 1.5}, 400, "invalid_value", "min_p"),
    ("a bias for a word", {"logit_bias": {"cat": 1}}, 400, "invalid_value", "logit_bias"),
    ("a bias beyond a hundred", {"logit_bias": {"1": 101}}, 400, "invalid_value", "logit_bias"),
    ("a bias that is a list", {"logit_bias": [1]}, 400, "invalid_value", "logit_bias"),
    ("fewest tokens above most tokens", {"min_tokens": 2}, 400, "invalid_value", "min_tokens"),
    ("a deadline that is over", {"deadline_s": 0}, 400, "invalid_value", "deadline_s"),
    ("a user without a name", {"user": 7}, 400, "invalid_value", "user"),
    ("a schema that the engine refuses", {"guided_json": ""}, 400, "invalid_value", "guided_json"),
    ("a regex that the engine refuses", {"guided_regex": ""}, 400, "invalid_value", "guided_regex"),
    (
        "a grammar under its newer name that the engine refuses",
        {"structured_outputs": {"grammar": ""}},
        400,
        "invalid_value",
        "structured_outputs.grammar",
    ),
    ("a choice among nothing", {"guided_choice": []}, 400, "invalid_value", "guided_choice"),
    (
        "two forms at once",
        {"guided_regex": "a", "response_format": {"type": "json_object"}},
        400,
        "invalid_value",
        "guided_regex",
    ),
    (
        "a form of no known kind",
        {"response_format": {"type": "xml"}},
        400,
        "invalid_value",
        "response_format.type",
    ),
    (
        "a form of a schema without one",
        {"response_format": {"type": "json_schema"}},
        400,
        "missing_required_parameter",
        "response_format.json_schema",
    ),
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
    ("likeliest tokens without logprobs", {"top_logprobs": 2}, 400, "invalid_value", "top_logprobs"),
    ("logprobs as completions ask for them", {"logprobs": 2}, 400, "invalid_value", "logprobs"),
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


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b'{"prompt": "x"}'),
        '{"prompt": "x"}'.encode("utf-8-sig"),
        '{"prompt": "x"}'.encode("utf-16"),
    ],
    ids=["compressed", "as PowerShell writes UTF-8", "as PowerShell writes"],
)
def test_a_body_that_does_not_begin_as_json_is_told_how_to(node: Node, body: bytes) -> None:
    message = node.http.post("/v1/completions", content=body).json()["error"]["message"]

    assert "send plain UTF-8, not compressed and without a byte order mark" in message


@pytest.mark.parametrize("body", [b"prompt=hello", b"'{prompt: 1}'", b"<x/>", b"}"])
def test_a_body_of_plain_text_is_not_told_so(node: Node, body: bytes) -> None:
    message = node.http.post("/v1/completions", content=body).json()["error"]["message"]

    assert "is not valid JSON" in message
    assert "UTF-8" not in message


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


@pytest.mark.parametrize("fields", [{"prompt": "x" * 600}, {"max_tokens": 512}], ids=["prompt", "answer"])
def test_what_is_too_long_is_refused_in_the_words_by_which_clients_know_it(
    node: Node, fields: dict[str, Any]
) -> None:
    """LiteLLM, which then goes to a model with more room, and others look for them, not for the code."""
    answer = node.http.post("/v1/completions", json={**COMPLETE, **fields})

    assert "this model's maximum context length is 512 tokens" in answer.json()["error"]["message"]


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
        ("POST", "/v1/embeddings", 404, "not_found"),
        ("POST", "/v1/responses", 404, "not_found"),
        ("POST", "/v1/load_lora_adapter", 404, "not_found"),
        ("GET", "/v1/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/completions/", 404, "not_found"),
    ],
)
def test_a_wrong_path_or_method(node: Node, method: str, path: str, status: int, code: str) -> None:
    answer = node.http.request(method, path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/completions", {"prompt": "x", "prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
        ("/v1/completions", {"prompt": "x", "stream_options": {"include_usage": True}}, "stream_options"),
        ("/v1/completions", {"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": CHAT["messages"]}, "prompt"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/tokenize", {"prompt": "x", "model": "gpt-4"}, "model"),
        ("/tokenize", {**TALK, "chat_template": "{{ x }}"}, "chat_template"),
        (CHATS, {**TALK, "chat_template_kwargs": {"bos_token": ""}}, "chat_template_kwargs.bos_token"),
        ("/tokenize", {**TALK, "chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        (CHATS, {**TALK, "chat_template_kwargs": {"tone": 1}}, "messages"),
        (
            CHATS,
            {**TALK, "continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
        ),
        (CHATS, {**TALK, "request_id": "a b"}, "request_id"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": [2**31]}, "tokens[0]"),
        ("/v1/batch", {"requests": []}, "requests"),
        ("/v1/batch", {}, "requests"),
        ("/v1/batch", {"requests": [{"prompt": "x"}] * 1025}, "requests"),
        ("/v1/completions", {"prompt": ["x"] * 1000}, "prompt"),
    ],
    ids=[
        "probabilities of the prompt in a stream",
        "options of a stream without one",
        "nothing to add and nothing to echo",
        "nothing to tokenise",
        "a text and a conversation to tokenise",
        "an empty conversation to tokenise",
        "another model's tokens",
        "a template of the client's own",
        "a special token of the client's own",
        "a conversation in place of the conversation",
        "a variable that the template fails on",
        "an answer that goes on and begins",
        "a name that no log could show",
        "nothing to detokenise",
        "a negative token to detokenise",
        "a token beyond all vocabularies",
        "a batch of nothing",
        "no batch",
        "a batch without end",
        "more prompts than the queue takes",
    ],
)
def test_a_request_is_refused_for(node: Node, path: str, fields: dict[str, Any], param: str) -> None:
    answer = node.http.post(path, json=fields)

    assert (answer.status_code in (400, 404), answer.json()["error"]["param"]) == (True, param)


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
