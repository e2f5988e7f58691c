"""Each field of a request reaches the engine as what it means there."""

from typing import Any

import msgspec
import pytest
from tests.support.node import Node

from kvring_node.messages import SamplingParams

CHAT = {"messages": [{"role": "user", "content": "x"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
SCHEMA_TEXT = '{"type": "object", "properties": {"a": {"type": "integer"}}}'


def told(
    node: Node, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """What the engine was told of a request."""
    answer = node.http.post(path, json={"max_tokens": 1, **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    return next(one for one in reversed(node.received()) if one["type"] == "Submit")


def params_of(submit: dict[str, Any]) -> SamplingParams:
    return msgspec.convert({"max_tokens": 1, **submit["params"]}, SamplingParams)


PARAMS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("nothing changes a model's law unless asked", {}, {}),
    ("an empty model is the one that is served", {"model": ""}, {}),
    ("answers are counted", {"n": 3}, {"n": 3}),
    ("greedy is zero", {"temperature": 0}, {"temperature": 0.0}),
    ("the likeliest few", {"top_k": 5}, {"top_k": 5}),
    ("minus one is all of them, as nothing is", {"top_k": -1}, {}),
    ("a share of the law", {"top_p": 0.5}, {"top_p": 0.5}),
    ("a share of the likeliest", {"min_p": 0.1}, {"min_p": 0.1}),
    ("a divisor", {"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
    ("a penalty once", {"presence_penalty": -2}, {"presence_penalty": -2.0}),
    ("a penalty each time", {"frequency_penalty": 1.5}, {"frequency_penalty": 1.5}),
    ("biases by token", {"logit_bias": {"7": 100, "9": -0.5}}, {"logit_bias": [[7, 100.0], [9, -0.5]]}),
    ("a seed", {"seed": -4}, {"seed": -4}),
    ("a whole number as a double", {"top_k": 5.0, "seed": -4e0, "n": 2.0}, {"top_k": 5, "seed": -4, "n": 2}),
    (
        "beside numbers of other kinds",
        {"max_tokens": 3.0, "logit_bias": {"7": 1}, "temperature": 1.5, "metadata": [10**30, 1.0]},
        {"max_tokens": 3, "logit_bias": [[7, 1.0]], "temperature": 1.5},
    ),
    ("in lists", {"stop_token_ids": [3.0, 4]}, {"stop_token_ids": [3, 4]}),
    (
        "not within a schema",
        {"guided_json": {"enum": [1.0]}, "max_tokens": 1.0},
        {"grammar": {"kind": "json_schema", "text": '{"enum": [1.0]}'}},
    ),
    ("tokens that end it", {"stop_token_ids": [3, 4]}, {"stop_token_ids": [3, 4]}),
    ("the end of text is no end", {"ignore_eos": True}, {"ignore_eos": True}),
    ("at least so many", {"min_tokens": 2, "max_tokens": 3}, {"min_tokens": 2, "max_tokens": 3}),
    ("probabilities of the prompt", {"prompt_logprobs": 2}, {"prompt_logprobs": 2}),
    (
        "an object is a schema",
        {"response_format": {"type": "json_object"}},
        {"grammar": {"kind": "json_schema", "text": '{"type": "object"}'}},
    ),
    (
        "OpenAI's wrapped schema",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
        {"grammar": {"kind": "json_schema", "text": SCHEMA_TEXT}},
    ),
    ("text is no form", {"response_format": {"type": "text"}}, {}),
    ("vLLM's schema", {"guided_json": SCHEMA}, {"grammar": {"kind": "json_schema", "text": SCHEMA_TEXT}}),
    ("as text too", {"guided_json": "{}"}, {"grammar": {"kind": "json_schema", "text": "{}"}}),
    ("vLLM's regex", {"guided_regex": "[ab]+"}, {"grammar": {"kind": "regex", "text": "[ab]+"}}),
    (
        "vLLM's choice, quotes and all",
        {"guided_choice": ["yes", 'say "no"']},
        {"grammar": {"kind": "lark", "text": 'start: "yes" | "say \\"no\\""'}},
    ),
    ("vLLM's grammar", {"guided_grammar": 'start: "a"'}, {"grammar": {"kind": "lark", "text": 'start: "a"'}}),
    (
        "the same under the newer name",
        {"structured_outputs": {"regex": "a+"}},
        {"grammar": {"kind": "regex", "text": "a+"}},
    ),
    (
        "an object under the newer name",
        {"structured_outputs": {"json_object": True}},
        {"grammar": {"kind": "json_schema", "text": '{"type": "object"}'}},
    ),
]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize(("fields", "params"), [row[1:] for row in PARAMS], ids=[row[0] for row in PARAMS])
def test_a_parameter_reaches_the_engine(
    node: Node, path: str, fields: dict[str, Any], params: dict[str, Any]
) -> None:
    prompt = CHAT if "chat" in path else {"prompt": "x"}

    assert params_of(told(node, path, {**prompt, **fields})) == params_of({"params": params})


@pytest.mark.parametrize(
    ("path", "fields", "params"),
    [
        ("/v1/completions", {"prompt": "x", "logprobs": 3}, {"logprobs": 3}),
        ("/v1/completions", {"prompt": "x", "logprobs": 0}, {"logprobs": 0}),
        ("/v1/completions", {"prompt": "x", "logprobs": 2, "echo": True},
         {"logprobs": 2, "prompt_logprobs": 2}),
        ("/v1/completions", {"prompt": "x", "echo": True}, {}),
        ("/v1/chat/completions", {**CHAT, "logprobs": True}, {"logprobs": 0}),
        ("/v1/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 4}, {"logprobs": 4}),
        ("/v1/chat/completions", {**CHAT, "logprobs": False}, {}),
    ],
    ids=[
        "a completion asks by a number",
        "zero asks for the token's own",
        "an echo asks for the prompt's too",
        "an echo alone asks for none",
        "a chat asks by yes",
        "and for rivals by a number",
        "no is no",
    ],
)  # fmt: skip
def test_log_probabilities_are_asked_for(
    node: Node, path: str, fields: dict[str, Any], params: dict[str, Any]
) -> None:
    assert params_of(told(node, path, fields)) == params_of({"params": params})


@pytest.mark.parametrize(
    ("path", "fields", "header", "expected"),
    [
        ("/v1/completions", {"prompt": "x"}, None, {}),
        ("/v1/completions", {"prompt": "x", "user": "ann"}, None, {"tenant": "ann"}),
        ("/v1/completions", {"prompt": "x", "user": "ann"}, "bob", {"tenant": "bob"}),
        ("/v1/chat/completions", {**CHAT, "user": "ann"}, "bob", {"tenant": "bob"}),
        ("/v1/generate", {"prompt": "x", "priority": 2}, "bob", {"tenant": "bob", "priority": 2}),
        ("/v1/completions", {"prompt": "x", "priority": -1}, None, {"priority": -1}),
        ("/v1/chat/completions", {**CHAT, "deadline_s": 1.5}, None, {"deadline_s": 1.5}),
    ],
    ids=[
        "nobody's",
        "OpenAI's user is a tenant",
        "the header of a gateway counts more",
        "in chats too",
        "and in generate",
        "a priority",
        "a deadline",
    ],
)
def test_whose_it_is_and_when_it_is_wanted(
    node: Node, path: str, fields: dict[str, Any], header: str | None, expected: dict[str, Any]
) -> None:
    submit = told(node, path, fields, {"X-Kvring-Tenant": header} if header else None)

    usual = {"priority": 0, "tenant": "", "deadline_s": None}
    assert {name: submit[name] for name in usual} == {**usual, **expected}
