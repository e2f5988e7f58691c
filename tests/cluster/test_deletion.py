"""Deleting an InferenceCluster always ends, and leaves nothing behind."""

import pytest
from dev import paths
from tests.support import kube, login, pools, release, rooms

pytestmark = pytest.mark.cluster

KINDS = ("Pod", "Service", "ConfigMap", "Secret", "PodDisruptionBudget")
GONE_S = 90.0


def left_behind(pool: pools.Pool) -> list[str]:
    """What bears the pool's label."""
    label = f"kvring.dev/cluster={pool.name}"
    return [
        f"{kind} {found['metadata']['name']}"
        for kind in KINDS
        for found in pool.api.list(kind, pool.namespace, label)
    ]


def gone_without_a_trace(pool: pools.Pool) -> None:
    pool.wait_gone(GONE_S)
    pool.until(lambda: left_behind(pool), lambda left: not left, "nothing is left", GONE_S)


def test_deletion_ends_and_takes_everything_along(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "replicas": 2}).wait_ready(2)
    assert len(left_behind(pool)) == 2 + 2 + 1 + 1 + 1
    pool.delete()
    gone_without_a_trace(pool)


def test_an_open_stream_is_served_to_its_end(pool: pools.Pool) -> None:
    pool.apply(pools.SMALL).wait_ready()
    pool.ask_until_answered()
    with login.client(paths.kubeconfig()) as http:
        stream = pool.stream(http, "class Deleted:\n    def ", max_tokens=400)
        next(stream)
        pool.delete()
        assert list(stream)
    gone_without_a_trace(pool)


def test_deletion_ends_when_the_operator_comes_back(pool: pools.Pool, kvring: release.Release) -> None:
    pool.apply(pools.SMALL).wait_ready()
    with kvring.away():
        pool.delete()
        assert pool.resource()["metadata"]["deletionTimestamp"]
    gone_without_a_trace(pool)


def test_deletion_ends_when_the_secret_went_first(pool: pools.Pool, kvring: release.Release) -> None:
    pool.apply(pools.SMALL).wait_ready()
    with kvring.away():  # or it would make a new Secret
        pool.api.delete("Secret", "chat-internal", pool.namespace)
        pool.delete()
    gone_without_a_trace(pool)


def test_deletion_ends_when_the_whole_namespace_goes(api: kube.Api, kvring: release.Release) -> None:
    name = "t-namespace-that-goes"
    with rooms.opened(api, name):
        pool = pools.Pool(api, "chat", name).apply(pools.SMALL)
        pool.wait_ready()
        api.delete("Namespace", name, None)
        pool.until(lambda: api.find("Namespace", name, None), lambda found: found is None, "is gone", GONE_S)


def test_deletion_ends_before_a_member_was_ever_ready(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "model": {"uri": "pvc://models/no-such-folder"}})
    pool.wait_reason("Degraded", "ModelNotFound")
    pool.delete()
    gone_without_a_trace(pool)


def test_a_pool_of_the_same_name_can_follow_at_once(pool: pools.Pool) -> None:
    pool.apply(pools.SMALL).wait_ready()
    first = pool.resource()["metadata"]["uid"]
    pool.delete()
    pool.wait_gone(GONE_S)
    pool.apply(pools.SMALL).wait_ready()
    owners = {pod["metadata"]["ownerReferences"][0]["uid"] for pod in pool.staying().values()}
    assert owners == {pool.resource()["metadata"]["uid"]}
    assert first not in owners
