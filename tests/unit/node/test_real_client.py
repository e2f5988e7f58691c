"""The `openai` client at a node with the real engine and a tiny model: what wishes do to real answers."""

import json
import math
import re
from collections import defaultdict
from typing import Any

import openai
import pytest
from openai.types import Completion
from tests.support.node import Node

MODEL = "tiny"  # as the fixture `node` serves it
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["ann", "bob"]}, "old": {"type": "boolean"}},
    "required": ["name", "old"],
    "additionalProperties": False,
}


def complete(client: openai.OpenAI, **fields: Any) -> Completion:
    asked = {"model": MODEL, "prompt": "def f(x):", "max_tokens": 12, **fields}
    made: Completion = client.completions.create(**asked)
    return made


def test_answer_number_i_of_a_seed_is_the_answer_to_that_seed_plus_i(client: openai.OpenAI) -> None:
    several = complete(client, n=3, seed=5, temperature=1.2)
    alone = [complete(client, seed=5 + i, temperature=1.2).choices[0].text for i in range(3)]

    assert [choice.text for choice in several.choices] == alone
    assert len(set(alone)) == 3


async def test_streamed_answers_are_the_whole_ones(async_client: openai.AsyncOpenAI) -> None:
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 12,
        "n": 2,
        "seed": 1,
        "logprobs": True,
        "top_logprobs": 2,
    }
    whole = await async_client.chat.completions.create(**asked)
    texts: dict[int, str] = defaultdict(str)
    scores: dict[int, list[Any]] = defaultdict(list)
    async for chunk in await async_client.chat.completions.create(**asked, stream=True):
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        scores[choice.index] += (choice.logprobs and choice.logprobs.content) or []

    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert scores == {choice.index: (choice.logprobs and choice.logprobs.content) for choice in whole.choices}


def test_the_greedy_token_is_the_likeliest_and_no_law_exceeds_one(client: openai.OpenAI) -> None:
    scores = complete(client, temperature=0, logprobs=5).choices[0].logprobs

    assert scores is not None
    assert scores.token_logprobs is not None
    for own, ranked in zip(scores.token_logprobs, scores.top_logprobs or [], strict=True):
        assert own == max(ranked.values())
        assert sum(map(math.exp, ranked.values())) <= 1 + 1e-6


def test_an_echo_scores_tokens_as_they_were_scored_when_they_came(node: Node, client: openai.OpenAI) -> None:
    wish = {"prompt": "def f(x):", "max_tokens": 12, "temperature": 0}
    came = node.http.post("/v1/generate", json=wish).json()["token_ids"]
    before = node.http.post("/tokenize", json={"prompt": wish["prompt"]}).json()["tokens"]
    scores = complete(client, temperature=0, logprobs=0).choices[0].logprobs

    echoed = complete(client, prompt=before + came, echo=True, logprobs=0, max_tokens=0).choices[0].logprobs

    assert scores is not None
    assert echoed is not None
    assert echoed.token_logprobs is not None
    assert echoed.token_logprobs[-len(came) :] == pytest.approx(scores.token_logprobs, abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "law"),
    [
        ({"response_format": {"type": "json_object"}}, r"(?s)\s*\{.*\}\s*"),
        ({"guided_regex": "[ab]{3}c"}, "[ab]{3}c"),
        ({"guided_choice": ["yes", 'no "way"', "é\n"]}, '(?s)yes|no "way"|é\n'),
        ({"structured_outputs": {"choice": ["yes", "no"]}}, "yes|no"),
        ({"guided_grammar": 'start: "x" | "y" start'}, "y*x"),
    ],
    ids=["an object", "a regex", "a choice, whatever it is made of", "its newer name", "a grammar"],
)
def test_an_answer_has_its_form(client: openai.OpenAI, fields: dict[str, Any], law: str) -> None:
    for seed in range(3):
        answer = complete(client, seed=seed, max_tokens=200, extra_body=fields).choices[0]
        if answer.finish_reason == "stop":
            assert re.fullmatch(law, answer.text), answer.text


def test_a_chat_answers_with_json_of_the_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "who?"}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}},
        max_tokens=200,
        n=3,
        seed=0,
    )

    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        made = json.loads(choice.message.content or "")
        assert made["name"] in ("ann", "bob")
        assert made["old"] in (True, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"guided_regex": "("}, "guided_regex"),
        ({"guided_json": {"type": "quaxle"}}, "guided_json"),
        ({"structured_outputs": {"grammar": "start: :"}}, "structured_outputs.grammar"),
        ({"logit_bias": {"299999": 1}}, "logit_bias"),
        ({"prompt": [299_999]}, "prompt"),
    ],
    ids=["a broken regex", "a broken schema", "a broken grammar", "a bias for no token", "no token"],
)
def test_what_the_engine_refuses_is_named(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, extra_body=fields)

    assert caught.value.param == param


def test_a_bias_forces_and_forbids(node: Node, client: openai.OpenAI) -> None:
    def first(bias: dict[str, float]) -> str:
        made = complete(client, max_tokens=1, temperature=0, logprobs=0, logit_bias=bias).choices[0].logprobs
        return "".join((made and made.tokens) or [])

    (forced,) = node.http.post("/tokenize", json={"prompt": "q"}).json()["tokens"]
    assert first({str(forced): 100}) == "q"
    assert first({str(forced): -100}) == first({}) != "q"
