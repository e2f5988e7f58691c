"""All metrics of a node, and the text that Prometheus scrapes."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from kvring_node.metrics.engine import EngineMetrics, NodeState
from kvring_node.metrics.requests import RequestMetrics

_HTTP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The node's registry: one model, one engine."""

    def __init__(self, model_name: str, state: Callable[[], NodeState]) -> None:
        labels = {"model_name": model_name, "engine": "0"}
        self.engine = EngineMetrics(labels, state)
        self.requests = RequestMetrics(labels)
        self._registry = registry = CollectorRegistry()
        for collector in (self.engine, self.requests):
            registry.register(collector)
        for of_process in (ProcessCollector, PlatformCollector, GCCollector):
            of_process(registry=registry)
        self._http = Counter(
            "http_requests",
            "HTTP requests by route and outcome.",
            ["handler", "method", "status"],
            registry=registry,
        )
        self._http_s = Histogram(
            "http_request_duration_seconds",
            "From request to end of response.",
            ["handler", "method"],
            buckets=_HTTP_S,
            registry=registry,
        )

    def http(self, handler: str, method: str, status: int, took_s: float) -> None:
        """An HTTP response was sent; `handler` is the route's pattern, so that labels stay few."""
        self._http.labels(handler, method, f"{status // 100}xx").inc()
        self._http_s.labels(handler, method).observe(took_s)

    def render(self) -> bytes:
        """The text that GET /metrics answers."""
        return generate_latest(self._registry)
