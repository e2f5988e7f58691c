"""Each sample that a user is given, applied as it is: it answers, or says honestly why it cannot here."""

from pathlib import Path

import pytest
import yaml
from tests.support import kube, pools

pytestmark = pytest.mark.cluster

FOLDER = Path(__file__).parents[2] / "manifests/samples"
MEMBERS = {"chat": 2, "minimal": 1, "placement": 2}
"""Samples that serve on any machine, with the number of their members."""
EXPECTED = {
    # a sample, its reason for not being Ready here, words of the message
    "gpu": ("Unschedulable", "No machine has nvidia.com/gpu free"),
    "huggingface": ("ModelDownloadFailed", "hf://Qwen/Qwen3-0.6B (revision main) could not be downloaded"),
}


def applied(api: kube.Api, name: str, namespace: str) -> pools.Pool:
    """The sample's only document, in a namespace of the test's own."""
    manifest = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    manifest["metadata"]["namespace"] = namespace
    api.create(manifest)  # refuses unknown fields, as kubectl does
    return pools.Pool(api, manifest["metadata"]["name"], namespace)


def test_every_sample_is_tried_here() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {*MEMBERS, *EXPECTED, "paused"}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_sample_answers(api: kube.Api, namespace: str, name: str) -> None:
    pool = applied(api, name, namespace)
    pool.wait_ready(MEMBERS[name])
    answer = pool.ask_until_answered("def ")
    assert pools.text_of(answer)
    assert answer["usage"]["completion_tokens"] == 8
    assert pool.condition("Degraded")["status"] == "False"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_that_lacks_something_says_what(api: kube.Api, namespace: str, name: str) -> None:
    pool = applied(api, name, namespace)
    reason, words = EXPECTED[name]
    assert words in pool.wait_reason("Ready", reason)["message"]


def test_a_paused_sample_answers_once_it_is_scaled(api: kube.Api, namespace: str) -> None:
    pool = applied(api, "paused", namespace)
    pool.wait_reason("Ready", "ScaledToZero")
    assert not pool.pods()
    pool.scale(1)
    pool.wait_ready(1)
    assert pools.text_of(pool.ask_until_answered())
