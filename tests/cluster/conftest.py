"""What every test on the cluster starts from."""

from collections.abc import Iterator

import pytest
from dev import paths
from tests.support import kube


@pytest.fixture(scope="session")
def api() -> Iterator[kube.Api]:
    """The local cluster's API server as its administrator."""
    if not paths.kubeconfig().exists():
        pytest.fail("the local cluster is not running: make up")
    with kube.Api.connect(paths.kubeconfig()) as connected:
        yield connected
