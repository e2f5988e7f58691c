"""What should be: the spec, made ready for the planner. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract.api import InferenceCluster, Key
from kvring_contract.spec import OnTimeout
from kvring_operator import children, pod


@dataclass(frozen=True)
class Desired:
    """The pool as its spec asks for it. A resource that is being deleted wants no replicas."""

    key: Key
    uid: str
    replicas: int
    template: pod.Template
    children: tuple[Mapping[str, Any], ...]
    virtual_nodes: int
    replication_factor: int
    max_surge: int
    max_unavailable: int
    drain_timeout_s: float
    on_drain_timeout: OnTimeout


def derive(cluster: InferenceCluster, image: pod.Image) -> Desired:
    """From a parsed resource to what the planner compares with the world."""
    key, uid, spec = cluster.key, cluster.metadata.uid, cluster.spec
    return Desired(
        key=key,
        uid=uid,
        replicas=0 if cluster.metadata.deletion_at else spec.replicas,
        template=pod.template(key, spec, image),
        children=children.settled(key, uid),
        virtual_nodes=spec.cache.virtual_nodes,
        replication_factor=spec.cache.replication_factor,
        max_surge=spec.rollout.max_surge,
        max_unavailable=spec.rollout.max_unavailable,
        drain_timeout_s=spec.drain.timeout_s,
        on_drain_timeout=spec.drain.on_timeout,
    )
