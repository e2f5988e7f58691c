"""Prometheus metrics: vLLM's names, so that its dashboards and autoscalers work here, and `kvring_*`.

Gauges and totals of the engine are read from its latest statistics at the moment of a scrape, so that a step
pays nothing for them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kvring_node import messages

_FIRST_TOKEN_S = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_NEXT_TOKEN_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
)
_REQUEST_S = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_HTTP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)


class Progress(Protocol):
    """What an ended request's metrics are made from; moments in seconds of one clock."""

    submitted_at: float
    first_token_at: float | None
    num_cached_tokens: int
    token_ids: list[int]


@dataclass(frozen=True)
class NodeState:
    """What a scrape asks the node for. `ring_epoch` is -1 before a first ring came."""

    stats: messages.Stats
    loaded: messages.Loaded | None
    phase: str
    is_hung: bool
    ring_epoch: int


class Metrics:
    """The node's registry. One `model_name`, one `engine`, so the labelled children are looked up once."""

    def __init__(self, model_name: str, state: Callable[[], NodeState]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(_EngineCollector(model_name, state))
        labels = {"model_name": model_name, "engine": "0"}

        def histogram(name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, meaning, labels, buckets=buckets, registry=registry).labels(**labels)

        def counter(name: str, meaning: str) -> Counter:
            return Counter(name, meaning, labels, registry=registry).labels(**labels)

        self._first_token = histogram(
            "vllm:time_to_first_token_seconds", "From arrival to first token.", _FIRST_TOKEN_S
        )
        self._next_token = [
            histogram("vllm:inter_token_latency_seconds", "Between two tokens of a request.", _NEXT_TOKEN_S),
            histogram(
                "vllm:time_per_output_token_seconds", "Old name of inter_token_latency.", _NEXT_TOKEN_S
            ),
        ]
        self._per_token = histogram(
            "vllm:request_time_per_output_token_seconds",
            "A request's mean time per token after the first.",
            _NEXT_TOKEN_S,
        )
        self._request = histogram(
            "vllm:e2e_request_latency_seconds", "From arrival to last token.", _REQUEST_S
        )
        self._decode = histogram("vllm:request_decode_time_seconds", "From first to last token.", _REQUEST_S)
        self._prompt = histogram("vllm:request_prompt_tokens", "Tokens of a request's prompt.", _TOKENS)
        self._answer = histogram("vllm:request_generation_tokens", "Tokens of a request's answer.", _TOKENS)
        self._max_tokens = histogram("vllm:request_params_max_tokens", "max_tokens of a request.", _TOKENS)
        self._prompt_tokens = counter("vllm:prompt_tokens", "Prompt tokens of ended requests.")
        self._cached_tokens = counter("vllm:prompt_tokens_cached", "Prompt tokens found in the KV cache.")
        self._answer_tokens = counter("vllm:generation_tokens", "Tokens generated.")
        self._ended = Counter(
            "vllm:request_success",
            "Requests by how they ended.",
            [*labels, "finished_reason"],
            registry=registry,
        )
        self._ended_by = {
            reason: self._ended.labels(**labels, finished_reason=reason)
            for reason in (*map(str, messages.FinishReason), "error")
        }
        self._http = Counter(
            "http_requests",
            "HTTP requests by route and outcome.",
            ["handler", "method", "status"],
            registry=registry,
        )
        self._http_s = Histogram(
            "http_request_duration_seconds", "From request to end of response.", ["handler", "method"],
            buckets=_HTTP_S, registry=registry,
        )  # fmt: skip

    def first_tokens(self, took_s: float, num_tokens: int) -> None:
        """A request's first tokens came, `took_s` after the request."""
        self._answer_tokens.inc(num_tokens)
        self._first_token.observe(took_s)

    def next_tokens(self, took_s: float, num_tokens: int) -> None:
        """`num_tokens` more came together, `took_s` after those before them."""
        self._answer_tokens.inc(num_tokens)
        for histogram in self._next_token:
            histogram.observe(took_s / num_tokens)

    def finished(self, submit: messages.Submit, progress: Progress, reason: str, now: float) -> None:
        """A request ended; `reason` is a `FinishReason` or "error"."""
        num_tokens = len(progress.token_ids)
        self._prompt.observe(len(submit.prompt_token_ids))
        self._answer.observe(num_tokens)
        self._max_tokens.observe(submit.params.max_tokens)
        self._prompt_tokens.inc(len(submit.prompt_token_ids))
        self._cached_tokens.inc(progress.num_cached_tokens)
        self._request.observe(now - progress.submitted_at)
        self._ended_by[reason].inc()
        if progress.first_token_at is not None:
            self._decode.observe(now - progress.first_token_at)
            if num_tokens > 1:
                self._per_token.observe((now - progress.first_token_at) / (num_tokens - 1))

    def http(self, handler: str, method: str, status: int, took_s: float) -> None:
        """An HTTP response was sent; `handler` is the route's pattern, so that labels stay few."""
        self._http.labels(handler, method, f"{status // 100}xx").inc()
        self._http_s.labels(handler, method).observe(took_s)

    def render(self) -> bytes:
        """The text that GET /metrics answers."""
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    def __init__(self, model_name: str, state: Callable[[], NodeState]) -> None:
        self._labels = {"model_name": model_name, "engine": "0"}
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        stats, loaded = state.stats, state.loaded
        num_pages = loaded.num_pages if loaded else 0
        used = stats.num_pages_used / num_pages if num_pages else 0.0
        is_ready = state.phase == "serving" and not state.is_hung
        yield from self._gauges(
            ("vllm:num_requests_running", "Requests in the running batch.", stats.num_running),
            ("vllm:num_requests_waiting", "Requests that wait to run.", stats.num_waiting),
            ("vllm:kv_cache_usage_perc", "Share of KV pages in use, 0 to 1.", used),
            ("vllm:gpu_cache_usage_perc", "Old name of kv_cache_usage_perc.", used),
            ("kvring_pages", "KV pages of the device pool.", num_pages),
            ("kvring_pages_used", "KV pages in use.", stats.num_pages_used),
            ("kvring_pages_cached", "KV pages kept for later prompts.", stats.num_pages_cached),
            ("kvring_page_bytes", "Bytes of one KV page.", loaded.page_bytes if loaded else 0),
            ("kvring_ready", "1 while new requests are welcome.", is_ready),
            ("kvring_draining", "1 once the node has been told to leave.", state.phase == "draining"),
            ("kvring_ring_epoch", "Epoch of the ring held; -1 before the first.", state.ring_epoch),
        )
        queries, hits = stats.prefix_queries_tokens, stats.prefix_hits_tokens
        yield from self._counters(
            ("vllm:prefix_cache_queries", "Prompt tokens looked up in the KV cache.", queries),
            ("vllm:prefix_cache_hits", "Prompt tokens found in the KV cache.", hits),
            ("vllm:gpu_prefix_cache_queries", "Old name of prefix_cache_queries.", queries),
            ("vllm:gpu_prefix_cache_hits", "Old name of prefix_cache_hits.", hits),
            ("vllm:num_preemptions", "Times a running sequence gave its pages back.", stats.num_preemptions),
            ("kvring_engine_steps", "Steps of the engine.", stats.num_steps),
        )
        if loaded:
            yield self._cache_config(loaded)

    def _gauges(self, *rows: tuple[str, str, float]) -> Iterator[Metric]:
        for name, meaning, value in rows:
            family = GaugeMetricFamily(name, meaning, labels=list(self._labels))
            family.add_metric(list(self._labels.values()), value)
            yield family

    def _counters(self, *rows: tuple[str, str, float]) -> Iterator[Metric]:
        for name, meaning, value in rows:
            family = CounterMetricFamily(name, meaning, labels=list(self._labels))
            family.add_metric(list(self._labels.values()), value)
            yield family

    def _cache_config(self, loaded: messages.Loaded) -> Metric:
        labels = self._labels | {
            "block_size": str(loaded.page_tokens),
            "num_gpu_blocks": str(loaded.num_pages),
            "cache_dtype": loaded.dtype,
            "enable_prefix_caching": "True",
        }
        family = GaugeMetricFamily("vllm:cache_config_info", "Always 1; see the labels.", labels=list(labels))
        family.add_metric(list(labels.values()), 1)
        return family
