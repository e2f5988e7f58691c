"""A histogram that may be fed at every token."""

from bisect import bisect_left
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily


class Distribution:
    """How many values were at most so large. For one thread: without Prometheus's lock it costs a fifth."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` rise; what is above the last one is counted too."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self, name: str, meaning: str, labels: dict[str, str]) -> HistogramMetricFamily:
        """As Prometheus reads it."""
        names = (*map(str, map(float, self._bounds)), "+Inf")
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        family = HistogramMetricFamily(name, meaning, labels=list(labels))
        family.add_metric(list(labels.values()), buckets, self._sum)
        return family
