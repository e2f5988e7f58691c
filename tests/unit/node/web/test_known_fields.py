"""Every field of OpenAI's and vLLM's is known: obeyed, ignored, or taken where it asks for nothing."""

import typing
from typing import Any

import msgspec
import openai.types.chat as chats
import pytest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.shared_params import response_format_json_schema
from tests.support.node import Node

from kvring_node.web import forms, requests, turns


def _names(text: str) -> list[str]:
    return text.split()


VLLM = _names(
    """
    model prompt echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stop stream
    stream_options temperature top_p user use_beam_search top_k min_p repetition_penalty watermarking
    length_penalty stop_token_ids include_stop_str_in_output ignore_eos min_tokens skip_special_tokens
    spaces_between_special_tokens truncate_prompt_tokens truncation_side allowed_token_ids prompt_logprobs
    logprob_token_ids bad_words add_special_tokens response_format structured_outputs priority request_id
    session_id return_tokens_as_token_ids return_token_ids routed_experts_prompt_start
    return_token_offsets return_mm_kwargs cache_salt kv_transfer_params ec_transfer_params vllm_xargs
    repetition_detection thinking_token_budget stream_interval
    """
)
"""Of both routes; vLLM 0.33."""
VLLM_COMPLETIONS = ["suffix", "prompt_embeds"]
VLLM_CHATS = _names(
    """
    messages top_logprobs max_completion_tokens tools tool_choice reasoning_effort include_reasoning
    parallel_tool_calls add_generation_prompt continue_final_message documents chat_template
    chat_template_kwargs media_io_kwargs mm_processor_kwargs return_prompt_text
    """
)

SDK: list[tuple[Any, type[msgspec.Struct]]] = [
    (completion_create_params.CompletionCreateParamsStreaming, requests.CompletionRequest),
    (chat_create_params.CompletionCreateParamsStreaming, requests.ChatCompletionRequest),
    (chats.ChatCompletionStreamOptionsParam, requests.StreamOptions),
    (chats.ChatCompletionSystemMessageParam, turns.ChatMessage),
    (chats.ChatCompletionDeveloperMessageParam, turns.ChatMessage),
    (chats.ChatCompletionUserMessageParam, turns.ChatMessage),
    (chats.ChatCompletionAssistantMessageParam, turns.ChatMessage),
    (chats.ChatCompletionMessage, turns.ChatMessage),
    (chats.ChatCompletionContentPartTextParam, turns.TextPart),
    (response_format_json_schema.JSONSchema, forms.NamedSchema),
]


@pytest.mark.parametrize(("params", "struct"), SDK, ids=[params.__name__ for params, _ in SDK])
def test_what_the_openai_package_can_send_is_known(params: Any, struct: type[msgspec.Struct]) -> None:
    keys = getattr(params, "model_fields", None) or typing.get_type_hints(params)

    assert keys
    assert not set(keys) - set(struct.__struct_fields__)


@pytest.mark.parametrize(
    ("struct", "names"),
    [
        (requests.CompletionRequest, [*VLLM, *VLLM_COMPLETIONS]),
        (requests.ChatCompletionRequest, [*VLLM, *VLLM_CHATS]),
    ],
)
def test_what_vllm_takes_is_known(struct: type[msgspec.Struct], names: list[str]) -> None:
    assert not set(names) - {*struct.__struct_fields__, "prompt"}


CALLING = {"role": "assistant", "content": "", "tool_calls": [{}]}
ROUTES: dict[str, tuple[type[msgspec.Struct], dict[str, Any]]] = {
    "/v1/completions": (requests.CompletionRequest, {"prompt": "x", "max_tokens": 1}),
    "/v1/chat/completions": (
        requests.ChatCompletionRequest,
        {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
    ),
    "/tokenize": (requests.TokenizeRequest, {"prompt": "x"}),
    "/v1/generate": (requests.GenerateRequest, {"prompt": "x", "max_tokens": 1}),
}


@pytest.mark.parametrize("path", ROUTES)
def test_null_is_as_good_as_left_out(node: Node, path: str) -> None:
    struct, body = ROUTES[path]
    nothing = dict.fromkeys(struct.__struct_fields__)
    answer = node.http.post(path, json={**nothing, **body})

    assert answer.status_code == 200, answer.text


def marked(struct: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    """Each value of each field that has no effect."""
    fields = msgspec.inspect.type_info(struct).fields  # type: ignore[attr-defined]  # a struct's info has them
    extras = [(field.name, getattr(field.type, "extra", None)) for field in fields]
    return [(name, value) for name, extra in extras if extra for value in extra["values"]]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/tokenize"])
def test_a_field_without_effect_is_taken_where_it_asks_for_nothing_and_refused_by_name(
    node: Node, path: str
) -> None:
    struct, body = ROUTES[path]
    for name, value in marked(struct):
        answer = node.http.post(path, json={**body, name: value})
        assert answer.status_code == 200, answer.text
        error = node.http.post(path, json={**body, name: "?"}).json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_parameter", name)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": {"regex": "a", "whitespace_pattern": " "}},
         "structured_outputs.whitespace_pattern"),
        ({"messages": [{"role": "user", "content": "x"}, CALLING]}, "messages[1].tool_calls"),
        ({"echo": True}, "echo"),
        ({"skip_special_tokens": False}, "skip_special_tokens"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ],
)  # fmt: skip
def test_what_a_chat_cannot_have_is_refused_by_name(node: Node, fields: dict[str, Any], param: str) -> None:
    path = "/v1/chat/completions"
    error = node.http.post(path, json={**ROUTES[path][1], **fields}).json()["error"]

    assert (error["code"], error["param"]) == ("unsupported_parameter", param)


def test_a_form_may_come_with_its_defaults_written_out(node: Node) -> None:
    form = {"regex": "a", "json": None, "whitespace_pattern": None, "disable_fallback": False}
    answer = node.http.post("/v1/completions", json={"prompt": "x", "structured_outputs": form})

    assert answer.status_code == 200, answer.text
