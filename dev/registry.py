"""What is asked of an image registry that speaks plain HTTP: is this image there, and forget those."""

import http.client
import json
from collections.abc import Collection
from http import HTTPStatus

from dev import failure

MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
TIMEOUT_S = 10


def holds(address: str, repository: str, tag: str) -> bool:
    """Whether the registry at `address` (host:port) has this tag.

    Raises:
        Failure: nothing answers there.
    """
    return _digest(address, repository, tag) is not None


def keep_only(address: str, repository: str, kept: Collection[str]) -> bool:
    """Forgets the manifests of all other tags; whether there were any. Their layers stay until it is swept.

    Raises:
        Failure: nothing answers there.
    """
    _, _, body = _ask(address, "GET", f"/v2/{repository}/tags/list")
    digests = {tag: _digest(address, repository, tag) for tag in json.loads(body).get("tags") or ()}
    wanted = {digest for tag, digest in digests.items() if tag in kept}
    unwanted = {digest for digest in digests.values() if digest} - wanted
    for digest in unwanted:
        _ask(address, "DELETE", f"/v2/{repository}/manifests/{digest}")
    return bool(unwanted)


def _digest(address: str, repository: str, tag: str) -> str | None:
    """What the tag stands for; None if there is no such tag."""
    status, headers, _ = _ask(address, "HEAD", f"/v2/{repository}/manifests/{tag}", {"Accept": MANIFESTS})
    return headers["Docker-Content-Digest"] if status == HTTPStatus.OK else None


def _ask(
    address: str, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    except OSError as refused:
        raise failure.Failure(f"no image registry answers at {address}", "make up") from refused
    finally:
        connection.close()
