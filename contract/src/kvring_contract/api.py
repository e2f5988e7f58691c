"""InferenceCluster as a frozen value: who it is, what a user asked for, what was last reported.

`parse` fills every default and refuses what `crds/inferenceclusters.yaml` refuses, with the path of the field
and what to write instead; the CRD is the source of truth and a law test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kvring_contract import parsing, reader
from kvring_contract import spec as specs
from kvring_contract.names import API_VERSION, KIND
from kvring_contract.reader import ParseError, Reader

__all__ = ["InferenceCluster", "Key", "Metadata", "ParseError", "parse", "pending_features"]

_CLUSTER_NAME = reader.text(
    r"(?=.{1,40}$)[a-z]([-a-z0-9]*[a-z0-9])?",
    "a name of at most 40 lower-case letters, digits and dashes that begins with a letter",
)

_NAMESPACE = reader.text(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "the name of a namespace")


@dataclass(frozen=True, order=True)
class Key:
    """Names one InferenceCluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Metadata:
    """What the API server says of a resource beside its content."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    finalizers: tuple[str, ...]
    deletion_at: datetime | None

    @staticmethod
    def parse(body: Mapping[str, Any]) -> "Metadata":
        """Read `metadata`, also of a resource whose spec cannot be parsed; a bare file has no uid."""
        meta = body["metadata"]
        deletion = meta.get("deletionTimestamp")
        return Metadata(
            key=Key(meta.get("namespace") or "default", meta["name"]),
            uid=meta.get("uid", ""),
            generation=meta.get("generation", 0),
            resource_version=meta.get("resourceVersion", ""),
            finalizers=tuple(meta.get("finalizers") or ()),
            deletion_at=datetime.fromisoformat(deletion) if deletion else None,
        )


@dataclass(frozen=True)
class InferenceCluster:
    """One resource: who it is, what was asked for, and what was last reported about it (as JSON)."""

    metadata: Metadata
    spec: specs.Spec
    status: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.metadata.key


def pending_features(spec: specs.Spec) -> tuple[str, ...]:
    """Paths of fields that ask for a part which this release lacks, in the order of the schema."""
    asked = {
        "spec.draftModel": spec.draft_model is not None,
        "spec.parallelism.tensor": spec.parallelism.tensor > 1,
        "spec.parallelism.pipeline": spec.parallelism.pipeline > 1,
        "spec.cache.replicationFactor": spec.cache.replication_factor > 1,
        "spec.cache.virtualNodes": spec.cache.virtual_nodes != specs.Cache.virtual_nodes,
        "spec.cache.eviction": spec.cache.eviction is not specs.Eviction.LRU,
        "spec.cache.quantization": spec.cache.quantization is not specs.Quantization.NONE,
        "spec.cache.semantic": spec.cache.semantic.policy is specs.SemanticPolicy.ENABLED,
        "spec.sizing.policy": spec.sizing.policy is specs.SizingPolicy.AUTO,
        "spec.drain.maxBandwidth": spec.drain.max_bandwidth_bytes != specs.Drain.max_bandwidth_bytes,
        "spec.access.apiKeysSecret": spec.api_keys_secret is not None,
    }
    return tuple(path for path, pending in asked.items() if pending)


def parse(body: Mapping[str, Any]) -> InferenceCluster:
    """Read a resource as the API server or a YAML file gives it; raises `ParseError`.

    Fields that this release does not know are passed over: a newer CRD may be in the cluster already.
    """
    for field, right in (("kind", KIND), ("apiVersion", API_VERSION)):
        if body.get(field) != right:
            raise ParseError(field, f"{body.get(field)!r} is not {right}")
    root = Reader(body, "")
    name = root.child("metadata").require("name", _CLUSTER_NAME)
    root.child("metadata").read("namespace", _NAMESPACE, "")
    spec = parsing.parse_spec(root.child("spec"), name)
    return InferenceCluster(Metadata.parse(body), spec, root.child("status").value)
