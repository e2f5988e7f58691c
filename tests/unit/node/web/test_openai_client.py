"""The `openai` client, unchanged, against a real socket."""

from typing import Any

import openai
import pytest


def test_models_are_listed_with_their_length(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data

    assert (model.id, model.owned_by) == ("echo", "kvring")
    assert model.to_dict()["max_model_len"] == 512


def test_a_completion_has_text_reason_and_usage(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt="0123456789abcdef+", max_tokens=20, temperature=0)

    assert answer.choices[0].text == "0123456789abcdef+012"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        17,
        20,
        37,
    )
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 16


def test_several_prompts_have_a_choice_each(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt=["ab", "xy"], max_tokens=4)

    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "abab"), (1, "xyxy")]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12


def test_a_stop_string_ends_the_text_and_is_left_out(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="echo", prompt="one two ", max_tokens=50, stop=["two o", "never"]
    )

    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one ", "stop")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len("one two o")


def test_text_of_several_bytes_a_character_arrives_whole(client: openai.OpenAI) -> None:
    pieces = [
        chunk.choices[0].text
        for chunk in client.completions.create(model="echo", prompt="aé漢🎈", max_tokens=20, stream=True)
    ]

    assert "".join(pieces) == "aé漢🎈aé漢🎈"
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)


def test_a_streamed_completion_ends_with_its_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="echo", prompt="abc", max_tokens=5, stream=True, stream_options={"include_usage": True}
        )
    )

    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "abcab"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_chat_uses_the_models_template(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="echo",
        messages=[
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "you"}]},
        ],
        max_completion_tokens=100,
        stop="<assistant>",
    )

    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "<system>be kind\n<user>hi\nyou\n"
    assert answer.choices[0].finish_reason == "stop"


def test_a_chat_without_a_limit_may_fill_the_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "x"}])

    assert answer.usage is not None
    assert answer.usage.total_tokens == 512


async def test_a_streamed_chat_names_the_role_first(async_client: openai.AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(
        model="echo",
        messages=[{"role": "user", "content": "hi"}],
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "<user>hi"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + [
        "length"
    ]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


async def test_an_error_has_the_clients_own_class(async_client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await async_client.completions.create(model="other", prompt="x")
    with pytest.raises(openai.BadRequestError) as caught:
        await async_client.completions.create(model="echo", prompt="x", max_tokens=-1)
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "max_tokens"


def test_several_answers_have_a_choice_each(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt="abc", max_tokens=4, n=2)

    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "abca"), (1, "bcab")]


def test_log_probabilities_have_the_clients_own_classes(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="echo", prompt="ab", max_tokens=2, logprobs=1, echo=True)
    chat = client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "x"}], max_tokens=2, logprobs=True, top_logprobs=2
    )

    assert completion.choices[0].logprobs is not None
    assert completion.choices[0].logprobs.tokens == ["a", "b", "a", "b"]
    assert chat.choices[0].logprobs is not None
    assert chat.choices[0].logprobs.content is not None
    assert [len(token.top_logprobs) for token in chat.choices[0].logprobs.content] == [2, 2]


async def test_a_streamed_chat_of_several_answers_with_log_probabilities(
    async_client: openai.AsyncOpenAI,
) -> None:
    texts, tokens = ["", ""], ["", ""]
    stream = await async_client.chat.completions.create(
        model="echo",
        messages=[{"role": "user", "content": "hi"}],
        max_tokens=8,
        n=2,
        logprobs=True,
        stream=True,
    )
    async for chunk in stream:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        for token in (choice.logprobs and choice.logprobs.content) or ():
            tokens[choice.index] += token.token

    assert texts == tokens == ["<user>hi", "user>hi\n"]


def test_a_form_that_cannot_be_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="empty") as caught:
        client.completions.create(model="echo", prompt="x", extra_body={"guided_regex": ""})

    assert caught.value.param == "guided_regex"


def test_vllms_fields_go_in_the_extra_body(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="echo",
        prompt="abcd",
        max_tokens=8,
        extra_body={"top_k": 3, "min_p": 0.1, "stop_token_ids": [67], "include_stop_str_in_output": True},
    )

    assert answer.choices[0].text == "abcd"
    assert answer.choices[0].to_dict()["stop_reason"] == 67


def test_an_answer_can_be_sent_back_as_it_came(client: openai.OpenAI) -> None:
    turns: list[Any] = [{"role": "user", "content": "hi"}]
    first = client.chat.completions.create(model="echo", messages=turns, max_tokens=8)

    turns += [first.choices[0].message.model_dump(), {"role": "user", "content": "go on"}]
    second = client.chat.completions.create(model="echo", messages=turns, max_tokens=100)
    assert second.choices[0].message.content is not None
    assert second.choices[0].message.content.startswith("<user>hi\n<assistant><user>hi\n<user>go on")


def test_each_event_can_have_the_usage_so_far(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    turns: Any = [{"role": "user", "content": "hi"}]
    chat = client.chat.completions.create(
        model="echo", messages=turns, max_tokens=5, stream=True, stream_options=options
    )
    text = client.completions.create(
        model="echo", prompt="abc", max_tokens=5, stream=True, stream_options=options
    )
    for stream in (chat, text):
        usages = [chunk.usage for chunk in stream]
        counts = [usage.completion_tokens for usage in usages if usage]
        assert len(counts) == len(usages)
        assert counts == sorted(counts)
        assert counts[-1] == 5


def test_a_client_can_name_its_request(client: openai.OpenAI) -> None:
    """Twice, too: the engine's name for it is another."""
    named: Any = {"request_id": "mine"}
    for _ in range(2):
        answer = client.completions.create(model="echo", prompt="abc", max_tokens=1, extra_body=named)
        assert answer.id == "cmpl-mine"
