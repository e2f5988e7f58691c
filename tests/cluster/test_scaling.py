"""Scaling by `kubectl scale` and by edit, up, down and to zero."""

import pytest
from tests.support import kube, pools

pytestmark = pytest.mark.cluster


def slots(pool: pools.Pool) -> set[str]:
    return {pod["metadata"]["labels"]["kvring.dev/slot"] for pod in pool.staying().values()}


def refusal(pool: pools.Pool) -> str:
    """What the API server says to who asks, if it does not hand the question on."""
    try:
        pool.ask()
    except kube.Refused as refused:
        return refused.message
    return ""


def only_pods_remain(pool: pools.Pool, num_pods: int) -> None:
    pool.until(pool.pods, lambda pods: len(pods) == num_pods, f"only {num_pods} pods are left")


def test_scales_from_one_to_three_to_one_to_zero_to_two(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "replicas": 1}).wait_ready(1)
    first = pool.staying()
    said = pools.text_of(pool.ask_until_answered())

    pool.scale(3)
    pool.wait_ready(3)
    assert slots(pool) == {"0", "1", "2"}
    assert first.keys() <= pool.staying().keys()

    pool.edit({"replicas": 1})
    status = pool.wait_ready(1)["status"]
    assert [member["name"] for member in status["members"]] == ["chat-0"]
    assert pool.staying().keys() == first.keys()
    only_pods_remain(pool, 1)
    assert pools.text_of(pool.ask_until_answered()) == said

    pool.scale(0)
    pool.wait_reason("Ready", "ScaledToZero")
    pool.wait_ready(0)
    only_pods_remain(pool, 0)
    # The API server hears of the pods' end by another way than whoever lists them.
    pool.until(lambda: refusal(pool), lambda said: "no endpoints available" in said, "nobody is there")

    pool.edit({"replicas": 2})
    status = pool.wait_ready(2)["status"]
    assert status["ring"]["members"] == 2
    assert pools.text_of(pool.ask_until_answered()) == said


def test_the_scale_subresource_tells_an_autoscaler_what_is_there(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "replicas": 1}).wait_ready(1)
    path = f"/apis/kvring.dev/v1alpha1/namespaces/{pool.namespace}/inferenceclusters/chat/scale"
    scale = pool.api.request("GET", path).json()
    assert scale["spec"]["replicas"] == scale["status"]["replicas"] == 1
    chosen = pool.api.list("Pod", pool.namespace, scale["status"]["selector"])
    assert {pod["metadata"]["name"] for pod in chosen} == pool.staying().keys()


def test_a_member_that_never_became_ready_goes_first(pool: pools.Pool) -> None:
    """Scaling down while a new member is still loading takes the new one, not the one that serves."""
    pool.apply({**pools.SMALL, "replicas": 1}).wait_ready(1)
    serving = pool.staying().keys()
    pool.scale(2)
    pool.until(pool.staying, lambda pods: len(pods) == 2, "a second pod is made")
    pool.scale(1)
    pool.wait_ready(1)
    assert pool.staying().keys() == serving
    only_pods_remain(pool, 1)
