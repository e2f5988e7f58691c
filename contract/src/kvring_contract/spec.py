"""`spec` of an InferenceCluster as frozen values, with every default.

Field for field the schema of `crds/inferenceclusters.yaml`, which is the source of truth; a law test
holds the two together. Quantities are bytes, durations seconds, percentages shares of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kvring_contract.model_uri import ModelUri

MI = 1024**2
GI = 1024**3


class Dtype(StrEnum):
    """Number format of weights and activations; `auto` follows the model's own configuration."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Eviction(StrEnum):
    """Which cached pages go first when memory is short."""

    LRU = "LRU"
    LFU = "LFU"
    FIFO = "FIFO"
    W_TINY_LFU = "WTinyLFU"
    ADAPTIVE = "Adaptive"


class Quantization(StrEnum):
    """Number format of pages in the host tier."""

    NONE = "None"
    INT8 = "Int8"
    INT4 = "Int4"
    MIXED = "Mixed"


class SemanticPolicy(StrEnum):
    """Whether answers to similar prompts are reused."""

    DISABLED = "Disabled"
    ENABLED = "Enabled"


class Strategy(StrEnum):
    """In what order waiting sequences are served."""

    FCFS = "FCFS"
    PRIORITY = "Priority"
    SLA = "SLA"
    FAIRNESS = "Fairness"


class SizingPolicy(StrEnum):
    """Whether the operator moves cache sizes."""

    DISABLED = "Disabled"
    AUTO = "Auto"


class OnTimeout(StrEnum):
    """What happens to a leaving member that is not done when `drain.timeout` is over."""

    DELETE = "Delete"
    BLOCK = "Block"


@dataclass(frozen=True)
class Model:
    """What is served. `max_model_len` None means what the model's own configuration allows."""

    uri: ModelUri
    served_name: str
    revision: str = "main"
    dtype: Dtype = Dtype.AUTO
    max_model_len: int | None = None


@dataclass(frozen=True)
class Parallelism:
    """Ranks of one member: `tensor * pipeline` pods."""

    tensor: int = 1
    pipeline: int = 1


@dataclass(frozen=True)
class Resources:
    """Of one rank's container, in the notation of a pod."""

    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CacheSize:
    """Memory of one member for cached pages; `initial` stands until sizing moves it inside [min, max]."""

    min_bytes: int = 256 * MI
    max_bytes: int = 2 * GI
    initial_bytes: int = 512 * MI


@dataclass(frozen=True)
class Semantic:
    """Reuse of answers to similar prompts; `threshold` is the least similarity, 0 to 1."""

    policy: SemanticPolicy = SemanticPolicy.DISABLED
    threshold: float = 0.85
    max_entries: int = 10_000


@dataclass(frozen=True)
class Cache:
    """The shared KV cache."""

    page_tokens: int = 16
    replication_factor: int = 1
    virtual_nodes: int = 256
    eviction: Eviction = Eviction.LRU
    quantization: Quantization = Quantization.NONE
    size: CacheSize = CacheSize()
    semantic: Semantic = Semantic()


@dataclass(frozen=True)
class Scheduling:
    """One step of the engine computes at most `max_batch_tokens` for at most `max_sequences`."""

    strategy: Strategy = Strategy.FCFS
    max_batch_tokens: int = 2048
    max_sequences: int = 64


@dataclass(frozen=True)
class Sizing:
    """How cache sizes follow memory; `reserve` is the share of the limit that stays free."""

    policy: SizingPolicy = SizingPolicy.DISABLED
    interval_s: float = 10.0
    reserve: float = 0.10


@dataclass(frozen=True)
class Drain:
    """How a member leaves; `max_bandwidth_bytes` is a second's."""

    timeout_s: float = 120.0
    max_bandwidth_bytes: int = 100 * MI
    on_timeout: OnTimeout = OnTimeout.DELETE


@dataclass(frozen=True)
class Rollout:
    """How far a template change may leave `replicas` upwards and downwards, in members."""

    max_surge: int = 1
    max_unavailable: int = 0


@dataclass(frozen=True)
class Spec:
    """What a user asked for. `template` is the pod template overlay as it was written, without nulls."""

    model: Model
    replicas: int = 1
    draft_model: ModelUri | None = None
    parallelism: Parallelism = Parallelism()
    resources: Resources = field(default_factory=Resources)
    cache: Cache = Cache()
    scheduling: Scheduling = Scheduling()
    sizing: Sizing = Sizing()
    drain: Drain = Drain()
    rollout: Rollout = Rollout()
    api_keys_secret: str | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
