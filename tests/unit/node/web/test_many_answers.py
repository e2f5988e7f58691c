"""`n`: answers to one prompt end each by itself, are numbered, and are all counted.

The engine's answer number i begins with the prompt's token i, one token a byte.
"""

import json
from collections import defaultdict
from typing import Any

import pytest
from tests.support import poll
from tests.support.node import Node

COMPLETE = {"prompt": "abc", "max_tokens": 4}
CHAT = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 4}


def events(node: Node, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    text = node.http.post(path, json={**body, "stream": True}).text
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]


def test_choices_are_numbered_prompt_after_prompt(node: Node) -> None:
    answer = node.http.post(
        "/v1/completions", json={"prompt": ["abc", "xyz"], "n": 2, "max_tokens": 3}
    ).json()

    assert [(one["index"], one["text"]) for one in answer["choices"]] == [
        (0, "abc"),
        (1, "bca"),
        (2, "xyz"),
        (3, "yzx"),
    ]
    assert answer["usage"]["prompt_tokens"] == 6
    assert answer["usage"]["completion_tokens"] == 12


@pytest.mark.parametrize("prompt", ["abc", ["abc", "xyz"]], ids=["one prompt", "two prompts"])
def test_a_stream_says_of_each_piece_whose_it_is(node: Node, prompt: Any) -> None:
    body = {"prompt": prompt, "n": 3, "max_tokens": 5}
    whole = node.http.post("/v1/completions", json=body).json()
    *streamed, last = events(node, "/v1/completions", {**body, "stream_options": {"include_usage": True}})

    texts: dict[int, str] = defaultdict(str)
    reasons: dict[int, list[str]] = defaultdict(list)
    for (choice,) in (event["choices"] for event in streamed):
        texts[choice["index"]] += choice["text"]
        reasons[choice["index"]] += [choice["finish_reason"]] if choice["finish_reason"] else []
    assert texts == {one["index"]: one["text"] for one in whole["choices"]}
    assert reasons == {one["index"]: ["length"] for one in whole["choices"]}
    assert last["usage"] == whole["usage"]


def test_prompts_of_one_request_stream_side_by_side(node: Node) -> None:
    streamed = events(node, "/v1/completions", {"prompt": ["abc", "xyz"], "max_tokens": 500})

    order = [event["choices"][0]["index"] for event in streamed]
    assert order != sorted(order), "the second prompt's text waited for the first one's end"


def test_every_choice_of_a_chat_begins_with_its_role(node: Node) -> None:
    streamed = events(node, "/v1/chat/completions", {**CHAT, "n": 2})

    first: dict[int, Any] = {}
    for (choice,) in (event["choices"] for event in streamed):
        first.setdefault(choice["index"], choice["delta"])
    assert first == {0: {"role": "assistant", "content": ""}, 1: {"role": "assistant", "content": ""}}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_stop_string_ends_one_answer_and_not_the_others(node: Node, stream: bool) -> None:
    body = {"prompt": "abcd", "n": 2, "max_tokens": 6, "stop": "da", "stream_options": None}
    if stream:
        texts: dict[int, str] = defaultdict(str)
        ends = {}
        for (choice,) in (event["choices"] for event in events(node, "/v1/completions", body)):
            texts[choice["index"]] += choice["text"]
            ends[choice["index"]] = (choice["finish_reason"], choice["stop_reason"])
        answers = [(texts[index], *ends[index]) for index in sorted(texts)]
    else:
        choices = node.http.post("/v1/completions", json=body).json()["choices"]
        answers = [(one["text"], one["finish_reason"], one["stop_reason"]) for one in choices]

    assert answers == [("abc", "stop", "da"), ("bc", "stop", "da")]


def test_the_engine_is_told_of_an_answer_that_a_stop_string_ended_while_others_go_on(node: Node) -> None:
    body = {"prompt": "ab" + 250 * "c", "n": 2, "max_tokens": 240, "stop": "ab"}
    choices = node.http.post("/v1/completions", json=body).json()["choices"]

    assert [one["text"] for one in choices] == ["", "b" + 239 * "c"]
    assert [one["finish_reason"] for one in choices] == ["stop", "length"]
    name = node.received()[-1]["request_id"]
    assert {"type": "Abort", "request_id": name, "index": 0} in node.received()


def test_the_engine_is_told_to_stop_once_stop_strings_have_ended_all_answers(node: Node) -> None:
    body = {"prompt": "abcd", "n": 2, "max_tokens": 400, "stop": "da"}
    usage = node.http.post("/v1/completions", json=body).json()["usage"]

    assert usage["completion_tokens"] == len("abcda") + len("bcda")
    name = node.received()[-1]["request_id"]
    poll.until(lambda: node.received()[-1], lambda last: last == {"type": "Abort", "request_id": name},
               what="an abort", within_s=30, every_s=0.01)  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "text", "reason", "stop_reason"),
    [
        ({}, "abcdab", "length", None),
        ({"stop_token_ids": [67]}, "abc", "stop", 67),
        ({"stop_token_ids": [67], "include_stop_str_in_output": True}, "abcd", "stop", 67),
        ({"stop_token_ids": [67], "min_tokens": 4}, "abcdab", "length", None),
        ({"stop": ["zz", "cd"]}, "ab", "stop", "cd"),
        ({"stop": ["zz", "cd"], "min_tokens": 3}, "ab", "stop", "cd"),
        ({"stop": ["zz", "cd"], "min_tokens": 4}, "abcdab", "length", None),
        ({"stop": ["zz", "cd"], "include_stop_str_in_output": True}, "abcd", "stop", "cd"),
    ],
    ids=[
        "no stop",
        "a stop token has no text",
        "unless it is to be shown",
        "nor does it end an answer that is too short",
        "a stop string is left out",
        "it may begin while the answer is too short",
        "but not end",
        "unless it is to be shown",
    ],
)
def test_what_ended_an_answer_is_told(
    node: Node, fields: dict[str, Any], text: str, reason: str, stop_reason: Any
) -> None:
    body = {"prompt": "abcd", "max_tokens": 6, **fields}
    (choice,) = node.http.post("/v1/completions", json=body).json()["choices"]

    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == (text, reason, stop_reason)
