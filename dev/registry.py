"""The two questions that are asked of an image registry: is this image there, and which tags are."""

import http.client
import json
from http import HTTPStatus

from dev import failure

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
TIMEOUT_S = 10


def holds(address: str, repository: str, tag: str) -> bool:
    """Whether the registry at `address` (host:port, plain HTTP) has this tag, whole."""
    return _ask(address, "HEAD", f"/v2/{repository}/manifests/{tag}")[0] == HTTPStatus.OK


def tags(address: str, repository: str) -> list[str]:
    """All tags of a repository; none if there is no such repository."""
    status, body = _ask(address, "GET", f"/v2/{repository}/tags/list")
    return (json.loads(body)["tags"] or []) if status == HTTPStatus.OK else []


def _ask(address: str, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, headers={"Accept": MANIFESTS})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError as refused:
        raise failure.Failure(f"no image registry answers at {address}", "make up") from refused
    finally:
        connection.close()
