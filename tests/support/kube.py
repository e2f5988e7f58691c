"""A small typed client of the API server for tests: plain objects in, plain objects out, refusals as values.

It shares nothing with the operator's own client, so that one may judge the other.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import yaml
from tests.support import login, poll

Object = dict[str, Any]

_KINDS = {
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "ConfigMap": ("v1", "configmaps", True),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "Deployment": ("apps/v1", "deployments", True),
    "Event": ("v1", "events", True),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices", True),
    "InferenceCluster": ("kvring.dev/v1alpha1", "inferenceclusters", True),
    "Lease": ("coordination.k8s.io/v1", "leases", True),
    "Namespace": ("v1", "namespaces", False),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", True),
    "Node": ("v1", "nodes", False),
    "PersistentVolume": ("v1", "persistentvolumes", False),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims", True),
    "Pod": ("v1", "pods", True),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets", True),
    "ResourceQuota": ("v1", "resourcequotas", True),
    "Role": ("rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Secret": ("v1", "secrets", True),
    "Service": ("v1", "services", True),
    "ServiceAccount": ("v1", "serviceaccounts", True),
    "ValidatingWebhookConfiguration": (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        False,
    ),
}


class Refused(Exception):
    """The API server said no; `code` is the HTTP status, `message` what it told the user."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Api:
    """One API server as one user. An object is addressed by kind, name and namespace (None: it has none)."""

    http: httpx.Client

    @classmethod
    @contextmanager
    def connect(cls, kubeconfig: Path) -> Iterator[Self]:
        """Log in as the user of the kubeconfig's current context."""
        with login.client(kubeconfig) as http:
            yield cls(http)

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Any request, such as to /metrics or a pod's proxy; raises `Refused` for 4xx and 5xx."""
        response = self.http.request(method, path, **arguments)
        if response.is_error:
            raise Refused(response.status_code, _message(response))
        return response

    def get(self, kind: str, name: str, namespace: str | None = "default") -> Object:
        """The object; raises `Refused` with code 404 when there is none."""
        return _json(self.request("GET", _path(kind, name, namespace)))

    def find(self, kind: str, name: str, namespace: str | None = "default") -> Object | None:
        """The object, or None when there is none."""
        try:
            return self.get(kind, name, namespace)
        except Refused as refused:
            if refused.code != 404:
                raise
            return None

    def list(self, kind: str, namespace: str | None = "default", labels: str = "") -> list[Object]:
        """All objects of a kind in a namespace (None: in all) that a label selector accepts."""
        items: list[Object] = _json(
            self.request(
                "GET", _path(kind, "", namespace), params={"labelSelector": labels} if labels else {}
            )
        )["items"]
        return items

    def create(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create, refusing unknown fields as kubectl does; the stored object, defaults filled in."""
        path = _path(manifest["kind"], "", _namespace(manifest))
        return _json(self.request("POST", path, json=dict(manifest), params=_write(dry_run)))

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create or change by server-side apply as `kvring-tests`, taking fields from other managers."""
        path = _path(manifest["kind"], manifest["metadata"]["name"], _namespace(manifest))
        return _json(
            self.request(
                "PATCH",
                path,
                content=yaml.safe_dump(dict(manifest)),
                headers={"Content-Type": "application/apply-patch+yaml"},
                params=_write(dry_run) | {"fieldManager": "kvring-tests", "force": "true"},
            )
        )

    def patch(
        self,
        kind: str,
        name: str,
        change: Mapping[str, Any],
        namespace: str | None = "default",
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Merge `change` into the object (RFC 7386: null removes, lists are replaced)."""
        path = _path(kind, name, namespace) + (f"/{subresource}" if subresource else "")
        return _json(
            self.request(
                "PATCH",
                path,
                json=dict(change),
                headers={"Content-Type": "application/merge-patch+json"},
                params=_write(dry_run),
            )
        )

    def scale(self, name: str, replicas: int, namespace: str = "default") -> None:
        """What `kubectl scale infc NAME --replicas N` does."""
        self.patch("InferenceCluster", name, {"spec": {"replicas": replicas}}, namespace, subresource="scale")

    def delete(
        self, kind: str, name: str, namespace: str | None = "default", *, grace_s: int | None = None
    ) -> None:
        """Ask for deletion; an object that is gone already is fine."""
        options = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        try:
            self.request("DELETE", _path(kind, name, namespace), json=options)
        except Refused as refused:
            if refused.code != 404:
                raise

    def wait_gone(self, kind: str, name: str, namespace: str | None = "default", *, within_s: float) -> None:
        """Return when the object is no longer there."""
        poll.until(
            lambda: self.find(kind, name, namespace),
            lambda found: found is None,
            what=f"{kind} {name} is gone",
            within_s=within_s,
        )

    def wait_condition(
        self,
        kind: str,
        name: str,
        condition: str,
        status: str = "True",
        namespace: str | None = "default",
        *,
        within_s: float,
    ) -> Object:
        """The object, once its condition has this status."""
        return poll.until(
            lambda: self.get(kind, name, namespace),
            lambda found: condition_of(found, condition).get("status") == status,
            what=f"{kind} {name} is {condition}={status}",
            within_s=within_s,
        )

    @contextmanager
    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """A namespace of one's own, deleted afterwards (nobody waits for the end of its deletion)."""
        self.create(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": dict(labels or {})},
            }
        )
        try:
            yield name
        finally:
            self.delete("Namespace", name, None)


def condition_of(found: Mapping[str, Any], condition: str) -> Object:
    """One condition of an object's status; empty when it has none of that type."""
    conditions: list[Object] = found.get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == condition), {})


def _path(kind: str, name: str, namespace: str | None) -> str:
    api_version, plural, namespaced = _KINDS[kind]
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    scope = f"/namespaces/{namespace}" if namespaced and namespace else ""
    return f"{root}{scope}/{plural}" + (f"/{name}" if name else "")


def _namespace(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"].get("namespace", "default"))


def _write(dry_run: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def _json(response: httpx.Response) -> Object:
    body: Object = response.json()
    return body


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text
