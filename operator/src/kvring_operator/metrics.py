"""What the operator counts. Names are a promise to dashboards; `kvring_operator_` leads them all."""

from prometheus_client import Counter, Gauge, Histogram

CACHED_OBJECTS = Gauge(
    "kvring_operator_cached_objects", "Objects held by reflectors after their last list", ["kind"]
)
MISSED_CHANGES = Counter(
    "kvring_operator_missed_changes", "Changes that an audit found and a watch had not told", ["kind"]
)
RECONCILES = Counter(
    "kvring_operator_reconciles",
    "Visits of a resource: done; conflict (seen too late, looked at again); failed (the API server did not "
    "answer well); broken (a fault of the operator's own)",
    ["result"],
)
RECONCILE_SECONDS = Histogram(
    "kvring_operator_reconcile_seconds",
    "Duration of a visit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ACTIONS = Counter("kvring_operator_actions", "Actions carried out, by kind and result", ["action", "result"])
QUEUE_LENGTH = Gauge("kvring_operator_queue_length", "Resources that wait for a worker")
LEADER = Gauge("kvring_operator_leader", "1 while this replica leads")
FENCING_EPOCH = Gauge("kvring_operator_fencing_epoch", "Lease transitions under which this replica leads")
NODE_CALLS = Counter("kvring_operator_node_calls", "Calls to nodes, by path and result", ["path", "result"])
