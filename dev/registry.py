"""The question that is asked of an image registry: is this image there."""

import http.client
from http import HTTPStatus

from dev import failure

MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
TIMEOUT_S = 10


def holds(address: str, repository: str, tag: str) -> bool:
    """Whether the registry at `address` (host:port, plain HTTP) has this tag.

    Raises:
        Failure: nothing answers there.
    """
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFESTS})
        return connection.getresponse().status == HTTPStatus.OK
    except OSError as refused:
        raise failure.Failure(f"no image registry answers at {address}", "make up") from refused
    finally:
        connection.close()
