"""The kinds of objects that the operator touches."""

from dataclasses import dataclass
from typing import Final

from kvring_contract import names


@dataclass(frozen=True)
class Resource:
    """A kind as the API server's paths name it; the core group is empty."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of an object, of its subresource, or of all objects of a namespace (empty: of all)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join(part for part in (root, scope, self.plural, name, subresource) if part)


CLUSTERS: Final = Resource(names.GROUP, names.VERSION, names.PLURAL, names.KIND)
PODS: Final = Resource("", "v1", "pods", "Pod")
MACHINES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
SERVICES: Final = Resource("", "v1", "services", "Service")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", "Event")
BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")

CHILDREN: Final = {resource.kind: resource for resource in (SERVICES, CONFIG_MAPS, BUDGETS)}
"""Kinds that are applied as a whole and watched by the label of their cluster."""
