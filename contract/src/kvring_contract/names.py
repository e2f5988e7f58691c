"""Every name that both sides, users and the cluster see. Nothing else may spell one."""

from enum import StrEnum

GROUP = "kvring.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "InferenceCluster"
PLURAL = "inferenceclusters"
FIELD_MANAGER = "kvring-operator"
FINALIZER = f"{GROUP}/drain"

LABEL_CLUSTER = f"{GROUP}/cluster"
LABEL_SLOT = f"{GROUP}/slot"
LABEL_INCARNATION = f"{GROUP}/incarnation"
LABEL_RANK = f"{GROUP}/rank"
LABEL_RING = f"{GROUP}/ring"
LABEL_TEMPLATE_HASH = f"{GROUP}/template-hash"
ANNOTATION_TEMPLATE_HASH_VERSION = f"{GROUP}/template-hash-version"
ANNOTATION_DRAINING_SINCE = f"{GROUP}/draining-since"
READINESS_GATE = f"{GROUP}/ring-member"

CONTAINER = "node"
"""The engine's container in a member's pod."""
NODE_PORT = 8000
OPERATOR_METRICS_PORT = 8080
OPERATOR_HEALTH_PORT = 8081
INTERNAL_KEY_FILE = "key"
RING_DOCUMENT_KEY = "ring.json"
TERMINATION_LOG = "/dev/termination-log"


class RingLabel(StrEnum):
    """Values of the label `kvring.dev/ring` on a pod; the eviction lock selects SERVING, its first one."""

    SERVING = "serving"
    DRAINING = "draining"
    DRAINED = "drained"


class MemberState(StrEnum):
    """Where a member stands on the ring."""

    JOINING = "Joining"
    ACTIVE = "Active"
    DRAINING = "Draining"
    OFFLINE = "Offline"


class Condition(StrEnum):
    """Condition types of an InferenceCluster. Ready is derived from the others."""

    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    MODEL_LOADED = "ModelLoaded"
    RING_CONVERGED = "RingConverged"
    REPLICATION_SATISFIED = "ReplicationSatisfied"
    CACHE_COMPATIBLE = "CacheCompatible"
    CACHE_SIZING_LIMITED = "CacheSizingLimited"
    FEATURES_PENDING = "FeaturesPending"
    READY = "Ready"
