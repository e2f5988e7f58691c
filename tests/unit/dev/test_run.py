"""The pool of `make run`."""

import yaml
from dev import run

from kvring_contract import api


def test_it_is_the_sample() -> None:
    assert run.pool({}) == yaml.safe_load(run.SAMPLE.read_text())


def test_a_model_of_ones_own_is_not_held_to_the_memory_that_the_demo_model_needs() -> None:
    body = run.pool({"MODEL": "hf://Qwen/Qwen3-0.6B"})
    spec = api.parse(body).spec
    assert str(spec.model.uri) == "hf://Qwen/Qwen3-0.6B"
    assert spec.resources.limits == {}
