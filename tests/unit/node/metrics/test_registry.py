"""What GET /metrics says, as Prometheus reads it: names, types and labels that dashboards rely on."""

from collections.abc import Mapping

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from kvring_node.account import Account, Origin
from kvring_node.messages import FinishReason, Loaded, SamplingParams, Stats, Submit
from kvring_node.metrics.engine import NodeState
from kvring_node.metrics.registry import Metrics

OURS = ("model_name", "engine")

# Names, types and labels of vLLM (vllm/v1/metrics/loggers.py), and ours. Counters get `_total` in samples.
EXPECTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "vllm:num_requests_running": ("gauge", OURS),
    "vllm:num_requests_waiting": ("gauge", OURS),
    "vllm:kv_cache_usage_perc": ("gauge", OURS),
    "vllm:gpu_cache_usage_perc": ("gauge", OURS),
    "vllm:cache_config_info": (
        "gauge",
        (*OURS, "block_size", "num_gpu_blocks", "num_cpu_blocks", "cache_dtype", "enable_prefix_caching"),
    ),
    "vllm:prefix_cache_queries": ("counter", OURS),
    "vllm:prefix_cache_hits": ("counter", OURS),
    "vllm:gpu_prefix_cache_queries": ("counter", OURS),
    "vllm:gpu_prefix_cache_hits": ("counter", OURS),
    "vllm:num_preemptions": ("counter", OURS),
    "vllm:prompt_tokens": ("counter", OURS),
    "vllm:prompt_tokens_cached": ("counter", OURS),
    "vllm:prompt_tokens_by_source": ("counter", (*OURS, "source")),
    "vllm:generation_tokens": ("counter", OURS),
    "vllm:request_success": ("counter", (*OURS, "finished_reason")),
    "vllm:time_to_first_token_seconds": ("histogram", OURS),
    "vllm:inter_token_latency_seconds": ("histogram", OURS),
    "vllm:time_per_output_token_seconds": ("histogram", OURS),
    "vllm:request_time_per_output_token_seconds": ("histogram", OURS),
    "vllm:e2e_request_latency_seconds": ("histogram", OURS),
    "vllm:request_queue_time_seconds": ("histogram", OURS),
    "vllm:request_prefill_time_seconds": ("histogram", OURS),
    "vllm:request_decode_time_seconds": ("histogram", OURS),
    "vllm:request_inference_time_seconds": ("histogram", OURS),
    "vllm:request_prompt_tokens": ("histogram", OURS),
    "vllm:request_prefill_kv_computed_tokens": ("histogram", OURS),
    "vllm:request_generation_tokens": ("histogram", OURS),
    "vllm:request_max_num_generation_tokens": ("histogram", OURS),
    "vllm:request_params_max_tokens": ("histogram", OURS),
    "vllm:request_params_n": ("histogram", OURS),
    "vllm:iteration_tokens_total": ("histogram", OURS),
    "kvring_pages": ("gauge", OURS),
    "kvring_pages_used": ("gauge", OURS),
    "kvring_pages_cached": ("gauge", OURS),
    "kvring_pages_saved": ("gauge", OURS),
    "kvring_page_bytes": ("gauge", OURS),
    "kvring_ready": ("gauge", OURS),
    "kvring_draining": ("gauge", OURS),
    "kvring_ring_epoch": ("gauge", OURS),
    "kvring_pages_copied": ("counter", OURS),
    "kvring_coalesced_requests": ("counter", OURS),
    "kvring_engine_steps": ("counter", OURS),
    "kvring_engine_step_seconds": ("histogram", OURS),
    "http_requests": ("counter", ("handler", "method", "status")),
    "http_request_duration_seconds": ("histogram", ("handler", "method")),
}
STATS = Stats(
    num_running=3,
    num_waiting=2,
    num_pages_used=25,
    num_pages_cached=10,
    num_preemptions=4,
    prefix_queries_tokens=640,
    prefix_hits_tokens=320,
    num_steps=7,
    num_coalesced=5,
    num_pages_saved=6,
    num_pages_copied=1,
    step_tokens=40,
    step_s=0.02,
)
LOADED = Loaded("0123", "cpu", "float32", 512, 16, 100, 4096)


def node(stats: Stats = STATS, loaded: Loaded | None = LOADED, phase: str = "serving") -> Metrics:
    return Metrics("demo", lambda: NodeState(stats, loaded, phase, False, 3))


def account(**changes: object) -> Account:
    """10 prompt tokens, 2 answers of 4 and 5 tokens: 1 s in line, 2 s of prefill, 4 s of decoding."""
    fields = {
        "origin": Origin("r", ()),
        "submit": Submit("a", list(range(10)), SamplingParams(max_tokens=5, n=2)),
        "reason": str(FinishReason.LENGTH),
        "arrived_at": 100.0,
        "scheduled_at": 101.0,
        "first_token_at": 103.0,
        "last_token_at": 107.0,
        "ended_at": 107.5,
        "num_cached_tokens": 8,
        "answer_tokens": [4, 5],
    }
    return Account(**{**fields, **changes})  # type: ignore[arg-type]  # named by tests


def families(metrics: Metrics) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}


def value(metrics: Metrics, sample_name: str, labels: Mapping[str, str] = {}) -> float:
    (found,) = (
        sample.value
        for family in families(metrics).values()
        for sample in family.samples
        if sample.name == sample_name and labels.items() <= sample.labels.items()
    )
    return found


def test_every_name_has_its_type_and_its_labels_and_there_is_no_other() -> None:
    metrics = node()
    metrics.http("/v1/completions", "POST", 200, 0.1)
    told = {
        name: (family.type, {*family.samples[0].labels} - {"le"})
        for name, family in families(metrics).items()
        if not name.startswith(("process_", "python_")) and not name.endswith("_created")
    }
    assert told == {name: (kind, {*labels}) for name, (kind, labels) in EXPECTED.items()}


def test_whoever_routes_by_the_gateway_apis_protocol_finds_what_it_asks_for() -> None:
    metrics = node()
    assert value(metrics, "vllm:num_requests_waiting") == 2
    assert value(metrics, "vllm:num_requests_running") == 3
    assert value(metrics, "vllm:kv_cache_usage_perc") == 0.25
    assert value(metrics, "vllm:cache_config_info", {"block_size": "16", "num_gpu_blocks": "100"}) == 1


def test_a_node_that_loads_has_no_pages_yet_and_says_so() -> None:
    metrics = node(loaded=None, phase="loading")
    assert value(metrics, "kvring_pages") == 0
    assert value(metrics, "vllm:kv_cache_usage_perc") == 0
    assert value(metrics, "kvring_ready") == 0
    assert "vllm:cache_config_info" not in families(metrics)


def test_a_request_is_counted_once_and_its_answers_each() -> None:
    metrics = node()
    metrics.requests.ended(account())
    sums = {
        "vllm:request_queue_time_seconds": 1,
        "vllm:request_prefill_time_seconds": 2,
        "vllm:request_decode_time_seconds": 4,
        "vllm:request_inference_time_seconds": 6,
        "vllm:e2e_request_latency_seconds": 7.5,
        "vllm:request_time_per_output_token_seconds": 1,
        "vllm:request_prompt_tokens": 10,
        "vllm:request_prefill_kv_computed_tokens": 2,
        "vllm:request_max_num_generation_tokens": 5,
        "vllm:request_params_max_tokens": 5,
        "vllm:request_params_n": 2,
    }
    assert {name: value(metrics, f"{name}_sum") for name in sums} == sums
    assert {value(metrics, f"{name}_count") for name in sums} == {1}
    assert value(metrics, "vllm:request_generation_tokens_sum") == 9
    assert value(metrics, "vllm:request_generation_tokens_count") == 2


@pytest.mark.parametrize(
    ("left", "unknown"),
    [
        (
            "before it ran",
            {"scheduled_at": None, "first_token_at": None, "last_token_at": None, "answer_tokens": [0]},
        ),
        ("before a first token", {"first_token_at": None, "last_token_at": None, "answer_tokens": [0]}),
    ],
    ids=lambda row: row if isinstance(row, str) else "",
)
def test_a_client_that_left_early_is_counted_without_the_times_that_never_were(
    left: str, unknown: dict[str, object]
) -> None:
    metrics = node()
    metrics.requests.ended(account(reason="abort", **unknown))
    assert value(metrics, "vllm:request_success_total", {"finished_reason": "abort"}) == 1
    assert value(metrics, "vllm:request_decode_time_seconds_count") == 0
    assert value(metrics, "vllm:request_queue_time_seconds_count") == (0 if left == "before it ran" else 1)


def test_tokens_are_counted_as_they_come_and_prompts_when_they_are_computed() -> None:
    metrics = node()
    metrics.requests.begun(0.5, num_prompt_tokens=10, num_cached_tokens=8)
    metrics.requests.tokens(1, None)
    metrics.requests.tokens(4, 0.2)
    assert value(metrics, "vllm:prompt_tokens_total") == 10
    assert value(metrics, "vllm:prompt_tokens_cached_total") == 8
    assert value(metrics, "vllm:prompt_tokens_by_source_total", {"source": "local_compute"}) == 2
    assert value(metrics, "vllm:generation_tokens_total") == 5
    for name in ("inter_token_latency", "time_per_output_token"):
        assert value(metrics, f"vllm:{name}_seconds_sum") == pytest.approx(0.05)


def test_a_step_is_counted_once_however_often_the_engine_speaks_of_it() -> None:
    metrics = node()
    for _ in range(3):
        metrics.engine.heard(STATS)
    assert value(metrics, "vllm:iteration_tokens_total_count") == 1
    assert value(metrics, "vllm:iteration_tokens_total_bucket", {"le": "32.0"}) == 0
    assert value(metrics, "vllm:iteration_tokens_total_bucket", {"le": "64.0"}) == 1
    assert value(metrics, "kvring_engine_step_seconds_sum") == pytest.approx(0.02)
