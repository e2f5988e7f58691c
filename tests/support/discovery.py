"""What an API server says of its kinds: enough for kopf to find ours."""

from typing import Any

from kvring_contract import names

_GROUP = {"groupVersion": names.API_VERSION, "version": names.VERSION}
_ANSWERS: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "36"},
    "/api": {"versions": ["v1"]},
    "/api/v1": {
        "resources": [
            {"name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": False}
        ]
    },
    "/apis": {"groups": [{"name": names.GROUP, "versions": [_GROUP], "preferredVersion": _GROUP}]},
    f"/apis/{names.API_VERSION}": {
        "resources": [
            {
                "name": names.PLURAL,
                "singularName": names.KIND.lower(),
                "kind": names.KIND,
                "namespaced": True,
                "verbs": ["get", "list", "watch", "patch"],
            },
            {"name": f"{names.PLURAL}/status", "singularName": "", "kind": names.KIND, "namespaced": True},
        ]
    },
}


def answer(path: str) -> dict[str, Any] | None:
    """The document at a discovery path; None for any other path."""
    return _ANSWERS.get(path)
