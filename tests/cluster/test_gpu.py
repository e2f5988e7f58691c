"""A pool that asks for a GPU: it waits for one with a reason, and moves in as soon as a machine offers it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support import kube, pools

pytestmark = pytest.mark.cluster

GPU = "nvidia.com/gpu"
TOLD_S = 10.0
WITH_GPU = {
    **pools.SMALL,
    "resources": {
        "requests": pools.SMALL["resources"]["requests"],
        "limits": {**pools.SMALL["resources"]["limits"], GPU: 1},
    },
}


@contextmanager
def offered(api: kube.Api, count: str | None) -> Iterator[None]:
    """Inside the block every machine claims to have GPUs; only the engine can find out that there is none."""
    machines = [machine["metadata"]["name"] for machine in api.list("Node", None)]

    def claim(amount: str | None) -> None:
        for name in machines:
            status = {"capacity": {GPU: amount}, "allocatable": {GPU: amount}}
            api.patch("Node", name, {"status": status}, None, subresource="status")

    claim(count)
    try:
        yield
    finally:
        claim(None)


ON_CPU = {"spec": {"containers": [{"name": "node", "env": [{"name": "KVRING_DEVICE", "value": "cpu"}]}]}}


def test_it_waits_for_a_gpu_and_says_when_the_one_it_got_is_none(pool: pools.Pool) -> None:
    pool.apply(WITH_GPU)
    pool.until(
        lambda: [kube.condition_of(pod, "PodScheduled").get("reason") for pod in pool.pods()],
        lambda reasons: reasons == ["Unschedulable"],
        "the scheduler has looked",
    )
    told = pool.wait_reason("Ready", "Unschedulable", TOLD_S)
    assert f"No machine has {GPU} free" in told["message"]

    with offered(pool.api, "1"):
        told = pool.wait_reason("Degraded", "DeviceNotFound")
        assert "no CUDA device is visible" in told["message"]
        assert "set the device (KVRING_DEVICE) to cpu" in told["message"]

        pool.edit({"template": ON_CPU})
        pool.wait_ready()
        assert pools.text_of(pool.ask_until_answered())
