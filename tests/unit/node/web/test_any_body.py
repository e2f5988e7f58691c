"""Whatever JSON arrives, the answer is either one or an error object that a client can read; never a 5xx."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.node import Node

from kvring_node.web import requests

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(
    {
        name
        for struct in (requests.CompletionRequest, requests.ChatCompletionRequest, requests.GenerateRequest)
        for name in struct.__struct_fields__
    }
)
PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.text(max_size=30)
    | st.lists(st.integers(0, 300), max_size=5)
    | st.lists(st.text(max_size=5)),
    "prompt_tokens": st.lists(st.integers(-1, 300), max_size=5),
    "messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=9)})),
    "stop": st.text(max_size=2) | st.lists(st.text(max_size=2), max_size=3),
    "temperature": st.floats(-1, 3),
    "top_p": st.floats(-1, 2),
    "stream": st.booleans(),
    "model": st.just("echo") | st.text(max_size=3),
}
BODIES = st.dictionaries(st.sampled_from(FIELDS), st.none(), max_size=5).flatmap(
    lambda chosen: st.fixed_dictionaries({name: PLAUSIBLE.get(name, VALUES) | VALUES for name in chosen})
)
PATHS = st.sampled_from(["/v1/completions", "/v1/chat/completions", "/v1/generate"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, BODIES | VALUES)
def test_any_json_is_answered_or_refused(node: Node, path: str, body: Any) -> None:
    if isinstance(body, dict) and not (isinstance(body.get("max_tokens"), int) and body["max_tokens"] > 4):
        body = {"max_tokens": 3, **body}

    answer = node.http.post(path, content=json.dumps(body))

    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, st.binary(max_size=200))
def test_any_bytes_are_refused(node: Node, path: str, body: bytes) -> None:
    assert node.http.post(path, content=body).status_code == 400
