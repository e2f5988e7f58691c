"""What every test on the cluster starts from."""

from collections.abc import Iterator

import pytest
from dev import paths
from tests.support import kube, pools, release, rooms


@pytest.fixture(scope="session")
def api() -> Iterator[kube.Api]:
    """The local cluster's API server as its administrator."""
    if not paths.kubeconfig().exists():
        pytest.fail("the local cluster is not running: make up")
    with kube.Api.connect(paths.kubeconfig()) as connected:
        yield connected


@pytest.fixture(scope="session")
def kvring(api: kube.Api) -> release.Release:
    """This checkout's operator; what is installed and current is used, and stays afterwards."""
    installed = release.install(api)
    installed.wait_led()
    return installed


@pytest.fixture(scope="session")
def opened_rooms(api: kube.Api, kvring: release.Release) -> Iterator[list[str]]:
    """Names of all namespaces that tests had; in the end none may be stuck in its deletion."""
    names: list[str] = []
    yield names
    for name in names:
        api.wait_gone("Namespace", name, None, within_s=rooms.GONE_S)


@pytest.fixture
def namespace(request: pytest.FixtureRequest, api: kube.Api, opened_rooms: list[str]) -> Iterator[str]:
    """A namespace of the test's own, with the demo models on its claim `models`."""
    with rooms.opened(api, rooms.name_of(request.node.name)) as name:
        opened_rooms.append(name)
        yield name


@pytest.fixture(scope="module")
def shared_namespace(request: pytest.FixtureRequest, api: kube.Api, opened_rooms: list[str]) -> Iterator[str]:
    """The same for all tests of a file."""
    with rooms.opened(api, rooms.name_of(request.path.stem)) as name:
        opened_rooms.append(name)
        yield name


@pytest.fixture
def pool(api: kube.Api, namespace: str) -> pools.Pool:
    """A pool's handle; nothing is applied yet."""
    return pools.Pool(api, "chat", namespace)


@pytest.fixture(scope="module")
def shared_pool(api: kube.Api, shared_namespace: str) -> pools.Pool:
    """One member that serves, for all tests of a file that leave it as they found it."""
    pool = pools.Pool(api, "chat", shared_namespace).apply(pools.SMALL)
    pool.wait_ready()
    return pool
