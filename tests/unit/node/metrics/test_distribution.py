"""The quick histogram against Prometheus's own, its slow twin."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from kvring_node.metrics.distribution import Distribution

BOUNDS = (0.5, 1.0, 2.5, 10.0)


@given(st.lists(st.sampled_from([0.0, 0.4, 0.5, 0.6, 1.0, 2.5, 9.0, 10.0, 11.0, 1e9])))
def test_it_says_what_prometheus_would(values: list[float]) -> None:
    registry, quick = CollectorRegistry(), Distribution(BOUNDS)
    slow = Histogram("x", "A size.", buckets=BOUNDS, registry=registry)
    for value in values:
        slow.observe(value)
        quick.observe(value)

    class Quick:
        def collect(self):
            yield quick.family("x", "A size.", {})

    theirs = [line for line in generate_latest(registry).splitlines() if b"created" not in line]
    ours = CollectorRegistry()
    ours.register(Quick())
    assert generate_latest(ours).splitlines() == theirs
