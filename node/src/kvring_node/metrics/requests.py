"""What requests brought: token counts, waiting times, reasons. Each request is counted once, when it ends."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from kvring_node.account import Account
from kvring_node.messages import FinishReason
from kvring_node.metrics.distribution import Distribution

# Bounds as in vLLM, so that panels drawn for it read these too.
_FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
_NEXT_TOKEN_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
_REQUEST_S = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
_ANSWERS = (1, 2, 5, 10, 20)

_BETWEEN = "Between two tokens of an answer."
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "time_to_first_token_seconds": ("From arrival to first token.", _FIRST_TOKEN_S),
    "inter_token_latency_seconds": (_BETWEEN, _NEXT_TOKEN_S),
    "request_time_per_output_token_seconds": (
        "A request's mean time per token after the first, of its longest answer.",
        _NEXT_TOKEN_S,
    ),
    "e2e_request_latency_seconds": ("From arrival to end.", _REQUEST_S),
    "request_queue_time_seconds": ("From arrival until it ran.", _REQUEST_S),
    "request_prefill_time_seconds": ("From when it ran until its first token.", _REQUEST_S),
    "request_decode_time_seconds": ("From first to last token.", _REQUEST_S),
    "request_inference_time_seconds": ("From when it ran until its last token.", _REQUEST_S),
    "request_prompt_tokens": ("Tokens of a request's prompt.", _TOKENS),
    "request_prefill_kv_computed_tokens": ("Those that were not found in the KV cache.", _TOKENS),
    "request_generation_tokens": ("Tokens of an answer; a request has n answers.", _TOKENS),
    "request_max_num_generation_tokens": ("Tokens of a request's longest answer.", _TOKENS),
    "request_params_max_tokens": ("max_tokens of a request.", _TOKENS),
    "request_params_n": ("Answers that a request asks for.", _ANSWERS),
}
"""By their names without `vllm:`."""
OLD_NAMES = {"inter_token_latency_seconds": "time_per_output_token_seconds"}


class RequestMetrics(Collector):
    """Counts as requests go by, in one thread; speaks at a scrape."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = labels
        self._sizes = {name: Distribution(bounds) for name, (_, bounds) in HISTOGRAMS.items()}
        self._next_token = self._sizes["inter_token_latency_seconds"]
        self._num_answer_tokens = 0
        self._num_prompt_tokens = 0
        self._num_cached_tokens = 0
        self._ended = dict.fromkeys((*map(str, FinishReason), "error"), 0)

    def begun(self, took_s: float, num_prompt_tokens: int, num_cached_tokens: int) -> None:
        """A request's first token came `took_s` after it; so many of its prompt's were found computed."""
        self._num_prompt_tokens += num_prompt_tokens
        self._num_cached_tokens += num_cached_tokens
        self._sizes["time_to_first_token_seconds"].observe(took_s)

    def tokens(self, num_tokens: int, took_s: float | None) -> None:
        """`num_tokens` of an answer came together, `took_s` after those before them; None: its first ones."""
        self._num_answer_tokens += num_tokens
        if took_s is not None:
            self._next_token.observe(took_s / num_tokens)

    def ended(self, account: Account) -> None:
        """A request ended."""
        self._ended[account.reason] += 1
        for name, value in _sizes(account):
            if value is not None:
                self._sizes[name].observe(value)
        for num_tokens in account.answer_tokens:
            self._sizes["request_generation_tokens"].observe(num_tokens)

    def collect(self) -> Iterator[Metric]:
        """All families of this file."""
        for name, (meaning, _) in HISTOGRAMS.items():
            yield self._sizes[name].family(f"vllm:{name}", meaning, self._labels)
            if name in OLD_NAMES:
                yield self._sizes[name].family(
                    f"vllm:{OLD_NAMES[name]}", f"Old name of {name}.", self._labels
                )
        computed, cached = self._num_prompt_tokens - self._num_cached_tokens, self._num_cached_tokens
        yield self._counter("vllm:prompt_tokens", "Prompt tokens.", self._num_prompt_tokens)
        yield self._counter("vllm:prompt_tokens_cached", "Those found in the KV cache.", cached)
        yield self._counters(
            "vllm:prompt_tokens_by_source",
            "Prompt tokens by where their keys and values came from.",
            "source",
            {"local_compute": computed, "local_cache_hit": cached},
        )
        yield self._counter("vllm:generation_tokens", "Answer tokens.", self._num_answer_tokens)
        yield self._counters(
            "vllm:request_success", "Requests by how they ended.", "finished_reason", self._ended
        )

    def _counter(self, name: str, meaning: str, value: float) -> Metric:
        family = CounterMetricFamily(name, meaning, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _counters(self, name: str, meaning: str, label: str, values: dict[str, int]) -> Metric:
        family = CounterMetricFamily(name, meaning, labels=[*self._labels, label])
        for key, value in values.items():
            family.add_metric([*self._labels.values(), key], value)
        return family


def _sizes(account: Account) -> Iterator[tuple[str, float | None]]:
    longest = max(account.answer_tokens, default=0)
    yield "e2e_request_latency_seconds", account.total_s
    yield "request_queue_time_seconds", account.queue_s
    yield "request_prefill_time_seconds", account.prefill_s
    yield "request_decode_time_seconds", account.decode_s
    yield "request_inference_time_seconds", account.inference_s
    if account.decode_s is not None and longest > 1:
        yield "request_time_per_output_token_seconds", account.decode_s / (longest - 1)
    yield "request_prompt_tokens", account.num_prompt_tokens
    if account.first_token_at is not None:
        yield "request_prefill_kv_computed_tokens", account.num_prompt_tokens - account.num_cached_tokens
    yield "request_max_num_generation_tokens", longest
    yield "request_params_max_tokens", account.submit.params.max_tokens
    yield "request_params_n", account.submit.params.n
