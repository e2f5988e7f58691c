"""docs/reference/metrics.md, from what a node says when Prometheus asks it."""

from prometheus_client.parser import text_string_to_metric_families

from kvring_node.messages import Loaded, Stats
from kvring_node.metrics.engine import NodeState
from kvring_node.metrics.registry import Metrics

HEADER = """\
# Metrics of a node

Made from what GET /metrics says by `make manifests`; do not edit. `vllm:` names are vLLM's, current and old,
with its labels and bounds, so that its dashboards, autoscalers and the Gateway API inference extension read
them as they are. Beside these there are `process_*` and `python_*` of the HTTP front.

| name | type | labels | meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The whole page in Markdown."""
    loaded = Loaded("", "", "", 0, 0, 0, 0)
    metrics = Metrics("", lambda: NodeState(Stats(), loaded, "", False, 0))
    metrics.http("/", "GET", 200, 0.0)
    families = text_string_to_metric_families(metrics.render().decode())
    rows = [
        f"| `{name}` | {family.type} | {labels} | {family.documentation} |"
        for family in families
        for name in [family.name + ("_total" if family.type == "counter" else "")]
        for labels in [", ".join(label for label in family.samples[0].labels if label != "le")]
        if not name.startswith(("process_", "python_")) and not name.endswith("_created")
    ]
    return HEADER + "\n".join(sorted(rows)) + "\n"
