"""docs/reference/metrics.md, from what a node says when Prometheus asks it, the operator's, and the chart."""

from collections.abc import Iterable, Iterator

from dev import manifests
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from kvring_node.messages import Loaded, Stats
from kvring_node.metrics.engine import NodeState
from kvring_node.metrics.registry import Metrics
from kvring_operator import metrics as of_operator

HEADER = """\
# Metrics

Made from what GET /metrics says, and from the chart, by `make manifests`; do not edit. With the chart's value
`monitoring.enabled` there are a ServiceMonitor for the operator, a PodMonitor for all members, and the alerts
below; the CRDs of the Prometheus operator must be in the cluster.

## Of a node

Port 8000, path `/metrics`. `vllm:` names are vLLM's, current and old, with its labels and bounds, so that its
dashboards, autoscalers and the Gateway API inference extension read them as they are. Beside these there are
`process_*` and `python_*` of the HTTP front.
"""

OPERATOR = """\
## Of the operator

Port 8080, path `/metrics`. Of several replicas one leads, and does the work.
"""

TABLE = """\
| name | type | labels | meaning |
| --- | --- | --- | --- |
"""

ALERTS = """\
## Alerts

| alert | severity | when | for | means |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The whole page in Markdown."""
    sections = (
        (HEADER + "\n" + TABLE, _of_node()),
        (OPERATOR + "\n" + TABLE, _of_operator()),
        (ALERTS, _alerts()),
    )
    return "\n".join(head + "\n".join(sorted(rows)) + "\n" for head, rows in sections)


def _of_node() -> Iterator[str]:
    loaded = Loaded("", "", "", 0, 0, 0, 0)
    metrics = Metrics("", lambda: NodeState(Stats(), loaded, "", False, 0))
    metrics.http("/", "GET", 200, 0.0)
    for family in text_string_to_metric_families(metrics.render().decode()):
        if not family.name.startswith(("process_", "python_")) and not family.name.endswith("_created"):
            labels = [label for label in family.samples[0].labels if label != "le"]
            yield _row(family.name, family.type, labels, family.documentation)


def _of_operator() -> Iterator[str]:
    for metric in vars(of_operator).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            [family] = metric.describe()
            labels = metric._labelnames  # the library tells them only of what has been counted
            yield _row(family.name, family.type, labels, f"{family.documentation}.")


def _row(name: str, kind: str, labels: Iterable[str], meaning: str) -> str:
    total = "_total" if kind == "counter" else ""
    return f"| `{name}{total}` | {kind} | {', '.join(labels)} | {meaning} |"


def _alerts() -> Iterator[str]:
    for found in manifests.render({"monitoring": {"enabled": True}}):
        if found["kind"] == "PrometheusRule":
            for rule in (rule for group in found["spec"]["groups"] for rule in group["rules"]):
                severity, about = rule["labels"]["severity"], rule["annotations"]["summary"]
                expr = rule["expr"].replace("|", "\\|")  # else a cell ends there
                yield f"| `{rule['alert']}` | {severity} | `{expr}` | {rule['for']} | {about} |"
