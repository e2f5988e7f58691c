"""/tokenize and /detokenize, in vLLM's shapes; the fake model has one token a byte."""

from pathlib import Path
from typing import Any

import pytest
from tests.support import node as nodes
from tests.support.node import Node

TURNS = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"prompt": "aé"}, "aé"),
        ({"prompt": ""}, ""),
        ({"messages": TURNS}, "<user>hi\n<assistant>"),
        ({"prompt": "x" * 100_000}, "x" * 100_000),
    ],
    ids=["a text", "no text", "a conversation, with its template", "more than the model takes"],
)
def test_tokens_are_counted_listed_and_turned_back(node: Node, asked: dict[str, Any], text: str) -> None:
    answer = node.http.post("/tokenize", json=asked).json()

    assert answer.keys() == {"count", "max_model_len", "tokens", "token_strs"}
    assert (answer["count"], answer["max_model_len"]) == (len(text.encode()), 512)
    assert len(answer["tokens"]) == answer["count"]
    assert node.http.post("/detokenize", json={"tokens": answer["tokens"]}).json() == {"prompt": text}


def test_what_each_token_spells_is_told_on_request(node: Node) -> None:
    answer = node.http.post("/tokenize", json={"prompt": "ab", "return_token_strs": True}).json()

    assert answer["token_strs"] == ["a", "b"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"add_generation_prompt": False}, "<user>hi\n"),
        ({"add_generation_prompt": None}, "<user>hi\n<assistant>"),
        ({"continue_final_message": True}, "<user>hi"),
        ({"continue_final_message": False}, "<user>hi\n<assistant>"),
        ({"chat_template_kwargs": {"tone": "dry"}}, "<user>hi\n<assistant>DRY"),
        ({"chat_template_kwargs": {"self": 1, "weird key": [None]}}, "<user>hi\n<assistant>"),
        ({"chat_template_kwargs": None, "tools": [], "chat_template": None}, "<user>hi\n<assistant>"),
    ],
    ids=[
        "the assistant is not next",
        "it is, unless said otherwise",
        "nobody is: the last message goes on",
        "it does not, unless said so",
        "a variable of the template",
        "variables that no template asks for",
        "nothing",
    ],
)
def test_a_template_is_told(node: Node, fields: dict[str, Any], text: str) -> None:
    """And tells the same where the conversation is answered."""
    tokens = node.http.post("/tokenize", json={"messages": TURNS, **fields}).json()["tokens"]
    assert node.http.post("/detokenize", json={"tokens": tokens}).json() == {"prompt": text}

    body = {"messages": TURNS, "max_tokens": len(tokens), **fields}
    answer = node.http.post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == text, "the engine echoes the prompt"


def test_tokens_that_no_vocabulary_has_have_no_text(node: Node) -> None:
    assert node.http.post("/detokenize", json={"tokens": [64, 10**9, 65]}).json() == {"prompt": "ab"}


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_a_node_that_loads_has_no_tokens_yet(tmp_path: Path, path: str) -> None:
    with nodes.fake(tmp_path, engine_flags=("--never-load",)) as node:
        body = {"prompt": "x"} if path == "/tokenize" else {"tokens": [1]}
        answer = node.http.post(path, json=body)

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
