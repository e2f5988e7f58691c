"""Objects of a stock cluster that no component makes by itself: the DNS Service and CoreDNS's rights."""

from typing import Any

from dev.cluster import layout
from dev.cluster.control_plane import DNS_METRICS_PORT

RBAC = "rbac.authorization.k8s.io"
DNS_PORTS = (("dns", "UDP", 53, layout.DNS_PORT), ("dns-tcp", "TCP", 53, layout.DNS_PORT),
             ("metrics", "TCP", 9153, DNS_METRICS_PORT))  # fmt: skip


def all_objects() -> list[dict[str, Any]]:
    """What `up` applies."""
    return [*_dns_service(), *_dns_rights()]


def _dns_service() -> list[dict[str, Any]]:
    """Points the address that every pod's resolv.conf names at the CoreDNS that runs on the host."""
    metadata = {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "clusterIP": layout.DNS_SERVICE,
            "ports": [
                {"name": n, "protocol": p, "port": port, "targetPort": t} for n, p, port, t in DNS_PORTS
            ],
        },
    }
    labels = {
        "kubernetes.io/service-name": "kube-dns",
        "endpointslice.kubernetes.io/managed-by": "kvring-local",
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata | {"labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [layout.ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": n, "protocol": p, "port": t} for n, p, _, t in DNS_PORTS],
    }
    return [service, endpoints]


def _dns_rights() -> list[dict[str, Any]]:
    metadata = {"name": "system:coredns"}
    watch = ["list", "watch"]
    role = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": metadata,
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": watch},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
        ],
    }
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:coredns"}],
    }
    return [role, binding]
