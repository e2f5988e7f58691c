"""Gauges and totals of the engine, read from its latest statistics when somebody scrapes; its steps' sizes.

A step pays for two counts, however many names there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kvring_node.messages import Loaded, Stats
from kvring_node.metrics.distribution import Distribution

_STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_STEP_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300),
)


@dataclass(frozen=True)
class NodeState:
    """What a scrape asks the node for. `ring_epoch` is -1 before a first ring came."""

    stats: Stats
    loaded: Loaded | None
    phase: str
    is_hung: bool
    ring_epoch: int

    @property
    def num_pages(self) -> int:
        """Pages of the device pool; 0 before the model is loaded."""
        return self.loaded.num_pages if self.loaded else 0

    @property
    def used_share(self) -> float:
        """Of the pages, from 0 to 1."""
        return self.stats.num_pages_used / self.num_pages if self.num_pages else 0.0


Row = tuple[str, str, Callable[[NodeState], float]]

GAUGES: tuple[Row, ...] = (
    ("vllm:num_requests_running", "Sequences that hold pages.", lambda at: at.stats.num_running),
    ("vllm:num_requests_waiting", "Sequences that wait to run.", lambda at: at.stats.num_waiting),
    ("vllm:kv_cache_usage_perc", "Share of KV pages in use, 0 to 1.", lambda at: at.used_share),
    ("vllm:gpu_cache_usage_perc", "Old name of kv_cache_usage_perc.", lambda at: at.used_share),
    ("kvring_pages", "KV pages of the device pool.", lambda at: at.num_pages),
    ("kvring_pages_used", "KV pages in use.", lambda at: at.stats.num_pages_used),
    ("kvring_pages_cached", "KV pages kept for later prompts.", lambda at: at.stats.num_pages_cached),
    (
        "kvring_pages_saved",
        "KV pages that sharing saves now: holders beyond the first.",
        lambda at: at.stats.num_pages_saved,
    ),
    ("kvring_page_bytes", "Bytes of one KV page.", lambda at: at.loaded.page_bytes if at.loaded else 0),
    (
        "kvring_ready",
        "1 while new requests are welcome.",
        lambda at: at.phase == "serving" and not at.is_hung,
    ),
    ("kvring_draining", "1 once the node has been told to leave.", lambda at: at.phase == "draining"),
    ("kvring_ring_epoch", "Epoch of the ring held; -1 before the first.", lambda at: at.ring_epoch),
)
COUNTERS: tuple[Row, ...] = (
    (
        "vllm:prefix_cache_queries",
        "Prompt tokens looked up in the KV cache.",
        lambda at: at.stats.prefix_queries_tokens,
    ),
    (
        "vllm:prefix_cache_hits",
        "Prompt tokens found in the KV cache.",
        lambda at: at.stats.prefix_hits_tokens,
    ),
    (
        "vllm:gpu_prefix_cache_queries",
        "Old name of prefix_cache_queries.",
        lambda at: at.stats.prefix_queries_tokens,
    ),
    (
        "vllm:gpu_prefix_cache_hits",
        "Old name of prefix_cache_hits.",
        lambda at: at.stats.prefix_hits_tokens,
    ),
    (
        "vllm:num_preemptions",
        "Times a running sequence gave its pages back.",
        lambda at: at.stats.num_preemptions,
    ),
    (
        "kvring_coalesced_requests",
        "Requests that an identical one's run answered.",
        lambda at: at.stats.num_coalesced,
    ),
    (
        "kvring_pages_copied",
        "Partial KV pages copied because a fork wrote to them.",
        lambda at: at.stats.num_pages_copied,
    ),
    ("kvring_engine_steps", "Steps of the engine.", lambda at: at.stats.num_steps),
)


class EngineMetrics(Collector):
    """Reads the node's state at each scrape, and counts the steps in between."""

    def __init__(self, labels: dict[str, str], state: Callable[[], NodeState]) -> None:
        self._labels = labels
        self._state = state
        self._num_steps = 0
        self._step_tokens = Distribution(_STEP_TOKENS)
        self._step_s = Distribution(_STEP_S)

    def heard(self, stats: Stats) -> None:
        """The engine has spoken, perhaps of a step."""
        if stats.num_steps > self._num_steps:
            self._num_steps = stats.num_steps
            self._step_tokens.observe(stats.step_tokens)
            self._step_s.observe(stats.step_s)

    def collect(self) -> Iterator[Metric]:
        """All families of this file."""
        state, names, values = self._state(), list(self._labels), list(self._labels.values())
        for name, meaning, read in GAUGES:
            gauge = GaugeMetricFamily(name, meaning, labels=names)
            gauge.add_metric(values, read(state))
            yield gauge
        for name, meaning, read in COUNTERS:
            counter = CounterMetricFamily(name, meaning, labels=names)
            counter.add_metric(values, read(state))
            yield counter
        yield self._step_tokens.family(
            "vllm:iteration_tokens_total", "Prompt and answer tokens that a step computed.", self._labels
        )
        yield self._step_s.family("kvring_engine_step_seconds", "Time of a step.", self._labels)
        if state.loaded:
            yield self._cache_config(state.loaded)

    def _cache_config(self, loaded: Loaded) -> Metric:
        labels = self._labels | {
            "block_size": str(loaded.page_tokens),
            "num_gpu_blocks": str(loaded.num_pages),
            "num_cpu_blocks": "0",
            "cache_dtype": loaded.dtype,
            "enable_prefix_caching": "True",
        }
        family = GaugeMetricFamily("vllm:cache_config_info", "Always 1; see the labels.", labels=list(labels))
        family.add_metric(list(labels.values()), 1)
        return family
