"""Hand edits that look right to whoever reads them are undone, and requests notice nothing."""

import dataclasses

import pytest
from dev import paths
from tests.support import internal_calls, pools, traffic

from kvring_contract import names
from kvring_contract import ring as rings

pytestmark = pytest.mark.cluster

HEALED_S = 30.0
ELSEWHERE = rings.Member(slot=0, pod="chat-0-99", address="10.244.1.254", machine="m7")

RINGS = {
    # what somebody makes of the ring: a valid document with a valid checksum each time
    "a younger epoch with a member that there is not": lambda ring: dataclasses.replace(
        ring, epoch=ring.epoch + 5, members=(ELSEWHERE,)
    ),
    "an older epoch without members": lambda ring: dataclasses.replace(
        ring, epoch=ring.epoch - 1, members=()
    ),
    "the same epoch with other virtual nodes": lambda ring: dataclasses.replace(ring, virtual_nodes=7),
}


@pytest.mark.parametrize("edit", RINGS.values(), ids=RINGS.keys())
def test_a_forged_ring_is_followed_by_a_true_one_of_a_younger_epoch(shared_pool: pools.Pool, edit) -> None:
    before, pods = internal_calls.ring_of(shared_pool), shared_pool.staying().keys()
    forged = edit(before)
    change = {
        "epoch": str(forged.epoch),
        "checksum": forged.checksum,
        names.RING_DOCUMENT_KEY: rings.dumps(forged),
    }
    with traffic.flowing(shared_pool, paths.kubeconfig()) as seen:
        shared_pool.api.patch("ConfigMap", "chat-ring", {"data": change}, shared_pool.namespace)
        after = shared_pool.until(
            lambda: internal_calls.ring_of(shared_pool),
            lambda ring: ring != forged,
            "the ring is another one again",
            HEALED_S,
        )
        seen.flows(3)
    assert after.epoch > max(before.epoch, forged.epoch), "an epoch is never used twice"
    assert dataclasses.replace(after, epoch=before.epoch) == before
    shared_pool.wait_ready()
    for name in shared_pool.staying():
        assert internal_calls.report(shared_pool, name).ring_checksum == after.checksum
    assert shared_pool.staying().keys() == pods
    assert not seen.failures


def test_an_emptied_secret_gets_a_key_again_and_requests_notice_nothing(shared_pool: pools.Pool) -> None:
    """Last of the file: the kubelet brings the new key into the member only after a minute or so."""
    (name,) = shared_pool.staying()
    with traffic.flowing(shared_pool, paths.kubeconfig()) as seen:
        empty = {"data": {names.INTERNAL_KEY_FILE: ""}}
        shared_pool.api.patch("Secret", "chat-internal", empty, shared_pool.namespace)
        look = {"metadata": {"annotations": {"example.com/look": "now"}}}  # Secrets are read, never watched
        shared_pool.api.patch("InferenceCluster", "chat", look, shared_pool.namespace)
        shared_pool.until(
            lambda: shared_pool.api.get("Secret", "chat-internal", shared_pool.namespace)["data"]["key"],
            bool,
            "there is a key again",
            HEALED_S,
        )
        seen.flows(3)
    assert list(shared_pool.staying()) == [name]
    assert not seen.failures
