"""The engine in a pool's own pods: what a client gets through the Service beyond a plain completion."""

import json
from typing import Any

import jsonschema
import pytest
from tests.support import kube, pools

pytestmark = pytest.mark.cluster

SPEC = {**pools.SMALL, "scheduling": {"strategy": "Fairness"}}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(api: kube.Api, shared_namespace: str) -> pools.Pool:
    """One member that serves tenants fairly."""
    pool = pools.Pool(api, "chat", shared_namespace).apply(SPEC)
    pool.wait_ready()
    pool.ask_until_answered()
    return pool


def post(pool: pools.Pool, path: str, **body: Any) -> Any:
    return pool.api.request("POST", f"{pool.url()}{path}", json=body).json()


def test_the_strategy_that_the_spec_names_is_the_engines(engine: pools.Pool) -> None:
    assert not kube.condition_of(engine.resource(), "FeaturesPending")
    (pod,) = engine.pods()
    (container,) = pod["spec"]["containers"]
    assert "Fairness" in json.dumps(container)


def test_the_member_computes_with_the_compiled_kernels(engine: pools.Pool) -> None:
    (pod,) = engine.staying()
    log = engine.api.request("GET", f"/api/v1/namespaces/{engine.namespace}/pods/{pod}/log").text
    assert "serving chat" in log
    assert "kernels are missing" not in log


def test_many_answers_share_one_prompt_and_each_is_its_own(engine: pools.Pool) -> None:
    answer = engine.ask("def parse(self, text):\n    ", 12, n=4, temperature=1.0, seed=5)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert len({choice["text"] for choice in answer["choices"]}) > 1
    alone = engine.ask("def parse(self, text):\n    ", 12, temperature=1.0, seed=7)
    assert pools.text_of(alone) == answer["choices"][2]["text"], "answer i draws from seed + i"


def test_an_answer_has_the_form_that_its_schema_asks_for(engine: pools.Pool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    answer = engine.ask("a person: ", 200, response_format=form, temperature=0.8, seed=1)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["text"]), PERSON)


def test_log_probabilities_are_those_of_the_drawn_tokens(engine: pools.Pool) -> None:
    (choice,) = engine.ask("import ", 5, logprobs=2)["choices"]
    found = choice["logprobs"]
    assert "".join(found["tokens"]) == choice["text"]
    for own, top in zip(found["token_logprobs"], found["top_logprobs"], strict=True):
        assert own == max(top.values()) <= 0, "greedy takes the likeliest"


def test_tokens_go_there_and_back(engine: pools.Pool) -> None:
    tokens = post(engine, "/tokenize", prompt="class Naïve:")
    assert tokens["count"] == len(tokens["tokens"])
    assert post(engine, "/detokenize", tokens=tokens["tokens"])["prompt"] == "class Naïve:"


def test_a_batch_answers_each_of_its_requests(engine: pools.Pool) -> None:
    wishes = [
        {"prompt": "def ", "max_tokens": 3, "temperature": 0},
        {"prompt_tokens": [5, 6], "max_tokens": 2},
    ]
    answers = post(engine, "/v1/batch", requests=wishes)
    assert [len(one["token_ids"]) for one in answers["responses"]] == [3, 2]


def test_requests_are_refused_with_the_field_at_fault(engine: pools.Pool) -> None:
    with pytest.raises(kube.Refused, match="guided_regex") as refused:
        engine.ask("x", guided_regex="(")
    assert refused.value.code == 400
