"""Log probabilities in all their shapes; the fake engine gives every token -0.5 and rivals one less each."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.node import Node

from kvring_node.messages import TokenLogprobs
from kvring_node.web import logprobs

CHAT = {"messages": [{"role": "user", "content": "é"}], "max_tokens": 3}


def choice(node: Node, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = node.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    (only,) = answer.json()["choices"]
    return dict(only)


def streamed(node: Node, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    text = node.http.post(path, json={**body, "stream": True}).text
    found = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    return [one["choices"][0] for one in found]


def test_a_completion_names_tokens_rivals_and_places(node: Node) -> None:
    asked = {"prompt": "ab", "max_tokens": 3, "logprobs": 2}

    assert choice(node, "/v1/completions", asked)["logprobs"] == {
        "tokens": ["a", "b", "a"],
        "token_logprobs": [-0.5, -0.5, -0.5],
        "top_logprobs": [{"a": -0.5, "b": -1.5}, {"b": -0.5, "c": -1.5}, {"a": -0.5, "b": -1.5}],
        "text_offset": [0, 1, 2],
    }


def test_with_no_rivals_a_token_is_its_own_likeliest(node: Node) -> None:
    asked = {"prompt": "ab", "max_tokens": 1, "logprobs": 0}

    assert choice(node, "/v1/completions", asked)["logprobs"]["top_logprobs"] == [{"a": -0.5}]


def test_who_does_not_ask_gets_none(node: Node) -> None:
    assert choice(node, "/v1/completions", {"prompt": "ab"})["logprobs"] is None
    assert choice(node, "/v1/chat/completions", CHAT)["logprobs"] is None
    assert "prompt_logprobs" not in choice(node, "/v1/completions", {"prompt": "ab"})


def test_half_a_character_is_written_as_bytes_and_takes_no_place(node: Node) -> None:
    made = choice(node, "/v1/completions", {"prompt": "é!", "max_tokens": 3, "logprobs": 0})

    assert made["text"] == "é!"
    assert made["logprobs"]["tokens"] == ["bytes:\\xc3", "bytes:\\xa9", "!"]
    assert made["logprobs"]["text_offset"] == [0, 0, 1]


def test_a_chat_has_exact_bytes(node: Node) -> None:
    asked = {**CHAT, "logprobs": True, "top_logprobs": 1, "max_tokens": 9}
    content = choice(node, "/v1/chat/completions", asked)["logprobs"]["content"]

    assert bytes(byte for one in content for byte in one["bytes"]) == "<user>é\n".encode()
    assert content[0] == {
        "token": "<",
        "logprob": -0.5,
        "bytes": [60],
        "top_logprobs": [{"token": "<", "logprob": -0.5, "bytes": [60]}],
    }


def test_a_chat_without_rivals_has_an_empty_list_of_them(node: Node) -> None:
    content = choice(node, "/v1/chat/completions", {**CHAT, "logprobs": True})["logprobs"]["content"]

    assert [one["top_logprobs"] for one in content] == [[], [], []]


@pytest.mark.parametrize("fields", [{}, {"echo": True}, {"stop": "bab"}], ids=["plain", "echoed", "stopped"])
def test_a_streamed_completions_pieces_add_up_to_the_whole(node: Node, fields: dict[str, Any]) -> None:
    asked = {"prompt": "ab", "max_tokens": 20, "logprobs": 1, **fields}
    whole = choice(node, "/v1/completions", asked)
    pieces = streamed(node, "/v1/completions", asked)

    assert "".join(one["text"] for one in pieces) == whole["text"]
    for name, values in whole["logprobs"].items():
        assert [value for one in pieces for value in one["logprobs"][name]] == values


def test_a_streamed_chats_pieces_add_up_to_the_whole(node: Node) -> None:
    asked = {**CHAT, "max_tokens": 30, "logprobs": True, "top_logprobs": 2}
    whole = choice(node, "/v1/chat/completions", asked)["logprobs"]["content"]
    pieces = streamed(node, "/v1/chat/completions", asked)

    assert [token for one in pieces if one["logprobs"] for token in one["logprobs"]["content"]] == whole


def test_an_echo_puts_the_prompt_before_the_answer(node: Node) -> None:
    assert (
        choice(node, "/v1/completions", {"prompt": "abc", "max_tokens": 2, "echo": True})["text"] == "abcab"
    )
    assert (
        choice(node, "/v1/completions", {"prompt": [64, 65], "max_tokens": 2, "echo": True})["text"] == "abab"
    )


def test_an_echo_has_the_prompts_log_probabilities_too(node: Node) -> None:
    asked = {"prompt": "abc", "max_tokens": 1, "echo": True, "logprobs": 1}

    assert choice(node, "/v1/completions", asked)["logprobs"] == {
        "tokens": ["a", "b", "c", "a"],
        "token_logprobs": [None, -0.5, -0.5, -0.5],
        "top_logprobs": [None, {"b": -0.5}, {"c": -0.5}, {"a": -0.5}],
        "text_offset": [0, 1, 2, 3],
    }


def test_a_prompt_may_be_scored_without_an_answer(node: Node) -> None:
    asked = {"prompt": "abc", "max_tokens": 0, "echo": True, "logprobs": 0, "return_token_ids": True}
    asked["stop_token_ids"] = [64]  # "a", which comes next
    answer = node.http.post("/v1/completions", json=asked).json()
    (only,) = answer["choices"]

    assert (only["text"], only["finish_reason"]) == ("abc", "length")
    assert only["logprobs"]["tokens"] == ["a", "b", "c"]
    assert (only["token_ids"], only["stop_reason"]) == ([], None)
    assert answer["usage"]["completion_tokens"] == 0


def test_a_stream_has_the_ids_of_half_characters_too(node: Node) -> None:
    asked = {"prompt": "aé漢🎈", "max_tokens": 20, "return_token_ids": True}
    whole = choice(node, "/v1/completions", asked)
    pieces = streamed(node, "/v1/completions", asked)

    assert [token_id for one in pieces for token_id in one["token_ids"]] == whole["token_ids"]
    assert len(whole["token_ids"]) == 20


def test_vllms_field_lists_the_prompts_tokens_by_id(node: Node) -> None:
    expected = [
        None,
        {
            "65": {"logprob": -0.5, "rank": 1, "decoded_token": "b"},
            "66": {"logprob": -1.5, "rank": 2, "decoded_token": "c"},
        },
    ]

    made = choice(node, "/v1/completions", {"prompt": "ab", "max_tokens": 1, "prompt_logprobs": 2})
    assert made["prompt_logprobs"] == expected
    chat = node.http.post("/v1/chat/completions", json={**CHAT, "prompt_logprobs": 0}).json()
    assert len(chat["prompt_logprobs"]) == chat["usage"]["prompt_tokens"]


def test_what_cannot_come_has_the_least_number_that_json_can_say() -> None:
    never = TokenLogprobs(1, float("-inf"), 9, [(2, float("-inf"))])

    made = logprobs.Completion(lambda token_id: bytes([token_id])).of([(1, never)])

    assert made.token_logprobs == [-9999.0]
    assert set((made.top_logprobs[0] or {}).values()) == {-9999.0}


@given(st.text(max_size=20), st.lists(st.integers(0, 60), max_size=4))
def test_offsets_are_places_in_the_text_however_it_is_cut(text: str, cuts: list[int]) -> None:
    spelled = text.encode()
    edges = sorted({0, len(spelled), *(cut for cut in cuts if cut < len(spelled))})
    tokens = [spelled[start:end] for start, end in itertools.pairwise(edges)]
    scores = logprobs.Completion(tokens.__getitem__)

    made = scores.of((number, TokenLogprobs(number, -1.0, 1, [])) for number in range(len(tokens)))

    before = [spelled[:start].decode(errors="ignore") for start in edges[:-1]]
    assert made.text_offset == [len(one) for one in before]
