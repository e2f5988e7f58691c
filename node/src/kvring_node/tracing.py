"""One OpenTelemetry span a request, in vLLM's attributes, under the trace that its client began.

The SDK is imported only when there is somewhere to send spans. It sends them from a thread of its own and
drops them when its queue is full, so that a slow or missing collector costs a request nothing. It reads the
standard variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, ...) by itself.
"""

import threading
from collections.abc import Callable, Iterator

from kvring_node.account import Account

LAST_SPANS_S = 2.0
"""How long the end of the process waits for the collector to take the last spans."""

Attribute = str | float | list[str]


class Tracer:
    """Sends accounts as spans."""

    def __init__(self, endpoint: str, model_name: str, wall_clock: Callable[[], float]) -> None:
        """`endpoint` is the collector's full address for traces, as in OTEL_EXPORTER_OTLP_TRACES_ENDPOINT."""
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ours = Resource({"service.name": "kvring-node"})
        named = Resource.create()
        is_named = not str(named.attributes.get("service.name", "")).startswith("unknown_service")
        self._provider = TracerProvider(
            resource=named if is_named else named.merge(ours), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("kvring_node")
        self._propagator = TraceContextTextMapPropagator()
        self._server, self._failed = trace.SpanKind.SERVER, trace.StatusCode.ERROR
        self._model_name = model_name
        self._wall_clock = wall_clock

    def ended(self, account: Account) -> None:
        """A request ended now."""
        end_s = self._wall_clock()
        span = self._tracer.start_span(
            "llm_request",
            context=self._propagator.extract(dict(account.origin.trace)),
            kind=self._server,
            start_time=_nanoseconds(end_s - account.total_s),
        )
        span.set_attributes({name: value for name, value in self._attributes(account) if value is not None})
        if account.reason == "error":
            span.set_status(self._failed)
        span.end(_nanoseconds(end_s))

    def close(self) -> None:
        """Sends what is left, for at most `LAST_SPANS_S`."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(LAST_SPANS_S)

    def _attributes(self, account: Account) -> Iterator[tuple[str, Attribute | None]]:
        params = account.submit.params
        yield "gen_ai.request.id", account.submit.request_id
        yield "gen_ai.request.n", params.n
        yield "gen_ai.request.max_tokens", params.max_tokens
        yield "gen_ai.request.temperature", params.temperature
        yield "gen_ai.request.top_p", params.top_p
        yield "gen_ai.response.model", self._model_name
        yield "gen_ai.response.finish_reasons", [account.reason]
        yield "gen_ai.usage.prompt_tokens", account.num_prompt_tokens
        yield "gen_ai.usage.completion_tokens", account.num_tokens
        yield "gen_ai.usage.cache_read.input_tokens", account.num_cached_tokens
        yield "gen_ai.latency.time_in_queue", account.queue_s
        yield "gen_ai.latency.time_to_first_token", account.first_token_s
        yield "gen_ai.latency.time_in_model_prefill", account.prefill_s
        yield "gen_ai.latency.time_in_model_decode", account.decode_s
        yield "gen_ai.latency.time_in_model_inference", account.inference_s
        yield "gen_ai.latency.e2e", account.total_s
        yield "http.request.header.x-request-id", [account.origin.request_id]


def _nanoseconds(moment_s: float) -> int:
    return int(moment_s * 1e9)
