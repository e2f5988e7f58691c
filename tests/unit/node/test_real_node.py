"""The front with the real engine and a tiny model: what a pod does, on one machine."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support import node as nodes
from tests.support import poll, tiny_models
from tests.support.node import Node

from kvring_node import assembly
from kvring_node.messages import SamplingParams

PROMPTS = ["def f(x):", "import os\n", "a" * 40, "été"]


def ask(node: Node, **fields: object) -> dict[str, object]:
    answer = httpx.post(f"{node.url}/v1/completions", json=fields, timeout=120)
    assert answer.status_code == 200, answer.text
    choice: dict[str, object] = answer.json()["choices"][0]
    return choice


def test_text_over_http_is_the_text_of_the_embedded_engine(node: Node, model: Path) -> None:
    engine = assembly.load_engine(model, kv_bytes=4 << 20)
    alone = engine.generate(PROMPTS, SamplingParams(max_tokens=24, temperature=0))

    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        served = [*pool.map(lambda p: ask(node, prompt=p, max_tokens=24, temperature=0), PROMPTS)]

    assert [one["text"] for one in served] == [one.text for one in alone]
    assert [one["finish_reason"] for one in served] == [str(one.finish_reason) for one in alone]


def test_a_prompt_that_came_before_is_found_in_the_cache(node: Node) -> None:
    body = {"prompt": "the same words twice, more than a page of them", "max_tokens": 4, "temperature": 0}
    first, second = (node.http.post("/v1/completions", json=body).json() for _ in range(2))

    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == 32
    assert first["choices"] == second["choices"]


def test_a_seed_gives_the_same_text_alone_and_in_company(node: Node) -> None:
    seeded = {"prompt": "once", "max_tokens": 24, "temperature": 1.5, "seed": 7}
    alone = ask(node, **seeded)

    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(ask, node, prompt=p * 3, max_tokens=30) for p in PROMPTS]
        together = pool.submit(ask, node, **seeded)
        assert together.result() == alone
    assert all(one.result() for one in others)


def test_the_times_of_requests_come_from_one_clock_and_add_up(node: Node) -> None:
    before = samples(node)
    with ThreadPoolExecutor(8) as pool:
        several = {"prompt": "count the steps", "max_tokens": 20, "ignore_eos": True, "n": 2}
        all(pool.map(lambda _: ask(node, **several), range(16)))
    after = samples(node)

    def grown(name: str) -> float:
        return after[f"vllm:{name}"] - before[f"vllm:{name}"]

    queue_s, prefill_s, decode_s, inference_s, total_s = (
        grown(f"{name}_seconds_sum")
        for name in (
            "request_queue_time",
            "request_prefill_time",
            "request_decode_time",
            "request_inference_time",
            "e2e_request_latency",
        )
    )
    assert min(queue_s, prefill_s, decode_s) > 0
    assert prefill_s + decode_s == pytest.approx(inference_s)
    assert queue_s + inference_s <= total_s
    assert grown("request_generation_tokens_sum") == grown("generation_tokens_total") == 16 * 2 * 20
    assert grown("iteration_tokens_total_count") > 0
    assert grown("iteration_tokens_total_sum") >= 16 * 2 * 19, "each token but an answer's last is computed"


def samples(node: Node) -> dict[str, float]:
    """Those that have no labels but the model's and the engine's."""
    families = text_string_to_metric_families(node.http.get("/metrics").text)
    found = [sample for family in families for sample in family.samples]
    return {one.name: one.value for one in found if set(one.labels) == {"model_name", "engine"}}


def test_clients_that_go_away_leave_no_page_behind(node: Node) -> None:
    for _ in range(8):
        body = {"prompt": "x" * 100, "max_tokens": 300, "stream": True, "ignore_eos": True}
        with node.http.stream("POST", "/v1/completions", json=body) as answer:
            next(answer.iter_lines())

    poll.until(
        lambda: node.http.get("/v1/metrics").json(),
        lambda now: now["pages_used"] == 0 and now["requests_running"] == 0,
        what="all pages free",
        within_s=60,
    )


def test_a_killed_engine_ends_the_node(model: Path, tmp_path: Path) -> None:
    with nodes.real(model, tmp_path, "--cache-bytes", "4Mi") as node:
        node.wait_ready()
        node.engine().kill()

        poll.until(lambda: not node.is_ready(), what="not ready", within_s=30, every_s=0.02)
        assert node.exit_code() == 1
        assert node.lines()[-1]["reason"] == "EngineDied"


def _truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def _of_another_family(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace("qwen3", "quaxle").replace("Qwen3", "Quaxle"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_truncated, "ModelCorrupt"),
        (_pickled, "UnsafeFormat"),
        (_of_another_family, "UnsupportedFamily"),
    ],
    ids=["truncated weights", "a pickle", "an unknown family"],
)
def test_a_spoilt_model_ends_the_node_with_a_reason(spoil: object, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "spoilt"
    tiny_models.qwen3(folder)
    assert callable(spoil)
    spoil(folder)

    with nodes.real(folder, tmp_path) as node:
        assert node.exit_code(within_s=120) == 1
        last = node.lines()[-1]

    assert (last["level"], last["reason"]) == ("critical", reason)
    assert len(last["message"]) > 20
