"""An answer goes on where its prompt ends, also with tokenizers that take the first space off a text.

The engine's answer number i begins with the prompt's token i, one token a byte.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import node as nodes
from tests.support.node import Node

COMPLETE = "/v1/completions"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with nodes.fake(tmp_path_factory.mktemp("node"), strips_space=True) as running:
        running.wait_ready()
        yield running


def choices(node: Node, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = node.http.post(COMPLETE, json={"max_tokens": 4, **body})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["choices"]
    return found


def streamed(node: Node, body: dict[str, Any]) -> str:
    text = node.http.post(COMPLETE, json={"max_tokens": 4, **body, "stream": True}).text
    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    return "".join(event["choices"][0]["text"] for event in events)


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"prompt": " a b"}, [" a b"]),
        ({"prompt": " a b", "stop": " b"}, [" a"]),
        ({"prompt": " a b", "stop": " a"}, [""]),
        ({"prompt": "a b", "n": 2}, ["a ba", " ba "]),
        ({"prompt": [" a", " b"]}, [" a a", " b b"]),
        ({"prompt": "a b", "echo": True}, ["a ba ba"]),
    ],
    ids=[
        "the first space is there",
        "a stop string with a space is found",
        "at once",
        "each answer has its own",
        "each prompt has its own",
        "an echo goes on",
    ],
)
def test_the_texts_of(node: Node, body: dict[str, Any], texts: list[str]) -> None:
    assert [one["text"] for one in choices(node, body)] == texts
    if len(texts) == 1:
        assert streamed(node, body) == texts[0]


def test_an_echo_of_token_ids_goes_on(node: Node) -> None:
    """Their text has lost its own first space, which is the decoder's affair."""
    ids = node.http.post("/tokenize", json={"prompt": " a"}).json()["tokens"]

    assert [one["text"] for one in choices(node, {"prompt": ids, "echo": True})] == ["a a a"]


def test_generate_and_batches_keep_it(node: Node) -> None:
    body = {"prompt": " a", "max_tokens": 2}

    assert node.http.post("/v1/generate", json=body).json()["text"] == " a"
    (answer,) = node.http.post("/v1/batch", json={"requests": [body]}).json()["responses"]
    assert answer["text"] == " a"
