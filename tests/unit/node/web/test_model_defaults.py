"""What a request leaves out is sampled as the model's makers advise."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import node as nodes
from tests.support.node import Node

CHAT = {"messages": [{"role": "user", "content": "x"}]}
ADVICE = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.25, "repetition_penalty": 1.5}
NOTHING = dict.fromkeys(ADVICE)
USUAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


@pytest.fixture(scope="module")
def advised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("advised")
    (folder / "echo").mkdir()
    (folder / "echo/generation_config.json").write_text(json.dumps({**ADVICE, "do_sample": True}))
    with nodes.fake(folder) as running:
        running.wait_ready()
        yield running


def params(node: Node, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the engine was told of those that the model's makers may advise on."""
    answer = node.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    told = next(one for one in reversed(node.received()) if one["type"] == "Submit")["params"]
    return {name: told.get(name, usual) for name, usual in USUAL.items()}


ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", {"prompt": "x", "max_tokens": 1}),
    ("/v1/chat/completions", {**CHAT, "max_tokens": 1}),
]


@pytest.mark.parametrize(("path", "body"), ROUTES)
@pytest.mark.parametrize(
    ("sentence", "fields", "expected"),
    [
        ("nothing is said", {}, ADVICE),
        ("null says nothing", NOTHING, ADVICE),
        ("one thing is said", {"top_p": 0.5}, {**ADVICE, "top_p": 0.5}),
        (
            "what changes nothing is a wish too",
            {"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1},
            USUAL,
        ),
        ("all tokens, in vLLM's way", {"top_k": -1}, {**ADVICE, "top_k": 0}),
        ("greedy", {"temperature": 0}, {**ADVICE, "temperature": 0.0}),
    ],
)
def test_an_openai_request(
    sentence: str,
    fields: dict[str, Any],
    expected: dict[str, Any],
    path: str,
    body: dict[str, Any],
    advised: Node,
) -> None:
    assert params(advised, path, {**body, **fields}) == expected, sentence


@pytest.mark.parametrize(
    ("sentence", "fields", "expected"),
    [
        ("nothing is said", {}, ADVICE),
        ("null says nothing", {"temperature": None, "top_p": None}, ADVICE),
        ("both are said", {"temperature": 0, "top_p": 0.5}, {**ADVICE, "temperature": 0.0, "top_p": 0.5}),
    ],
)
def test_a_plain_request_alone_and_in_a_batch(
    sentence: str, fields: dict[str, Any], expected: dict[str, Any], advised: Node
) -> None:
    body = {"prompt": "x", "max_tokens": 1, **fields}
    assert params(advised, "/v1/generate", body) == expected, sentence
    assert params(advised, "/v1/batch", {"requests": [body]}) == expected, sentence
