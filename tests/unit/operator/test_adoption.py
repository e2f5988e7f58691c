"""What an InferenceCluster left behind, or was robbed of, becomes its own again; nothing else does.

`kubectl delete --cascade=orphan`, a backup and a hand on `ownerReferences` all end in objects without owner.
"""

import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support import builders
from tests.support.house import House, open_house
from tests.support.poll_async import until

from kvring_contract import names
from kvring_operator.resources import CLUSTERS, EVENTS, PODS, SECRETS, Resource


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as house:
        house.create(1)
        house.wake()
        await house.settle("chat-0-1")
        yield house


def owners(house: House, resource: Resource, name: str) -> list[str]:
    meta = (house.api.get(resource, "default", name) or {})["metadata"]
    return [owner["uid"] for owner in meta.get("ownerReferences", ())]


def abandon(house: House, resource: Resource, name: str) -> None:
    body = copy.deepcopy(house.api.get(resource, "default", name))
    assert body
    del body["metadata"]["ownerReferences"]
    house.api.put(resource, body)


def delete_as_orphaning(house: House) -> None:
    """What the API server writes for `kubectl delete infc chat --cascade=orphan`."""
    body = copy.deepcopy(house.api.get(CLUSTERS, "default", "chat"))
    assert body
    body["metadata"]["finalizers"].append("orphan")
    house.api.put(CLUSTERS, body)
    house.delete()


@pytest.mark.parametrize(("resource", "name"), [(PODS, "chat-0-1"), (SECRETS, "chat-internal")])
async def test_what_lost_its_owner_gets_it_back_and_it_is_said(
    house: House, resource: Resource, name: str
) -> None:
    before = house.api.get(SECRETS, "default", "chat-internal") or {}
    abandon(house, resource, name)
    house.wake()

    await until(lambda: owners(house, resource, name) == [builders.UID])

    await until(lambda: "ChildHealed" in {event["reason"] for event in house.api.all(EVENTS)})
    assert house.pods() == ["chat-0-1"]
    assert (house.api.get(SECRETS, "default", "chat-internal") or {})["data"] == before["data"]


async def test_a_deletion_that_orphans_leaves_members_as_they_are(house: House) -> None:
    before = house.api.get(PODS, "default", "chat-0-1")

    delete_as_orphaning(house)

    def let_go() -> bool:
        found = house.api.get(CLUSTERS, "default", "chat")
        return found is None or found["metadata"]["finalizers"] == ["orphan"]

    await until(let_go)
    assert house.api.get(PODS, "default", "chat-0-1") == before
    assert house.nodes.num_drains == 0


async def test_the_next_resource_of_the_name_takes_orphans_over(house: House) -> None:
    delete_as_orphaning(house)
    await until(
        lambda: (
            names.FINALIZER
            not in (house.api.get(CLUSTERS, "default", "chat") or {})["metadata"]["finalizers"]
        )
    )
    house.api.take(CLUSTERS, "default", "chat")
    for resource, name in ((PODS, "chat-0-1"), (SECRETS, "chat-internal")):
        abandon(house, resource, name)
    body = builders.body(1)
    body["metadata"] |= {"uid": "uid-next", "finalizers": []}
    house.api.put(CLUSTERS, body)
    house.wake()

    await until(lambda: owners(house, PODS, "chat-0-1") == ["uid-next"])
    await until(lambda: house.condition("Ready") == "True")
    assert house.pods() == ["chat-0-1"]
    assert owners(house, SECRETS, "chat-internal") == ["uid-next"]


async def test_a_resource_that_goes_adopts_nobody(house: House) -> None:
    """The garbage collector may have orphaned its pods before we look."""
    await house.stop()
    abandon(house, PODS, "chat-0-1")
    house.delete()
    house.start()

    await until(lambda: (house.api.get(CLUSTERS, "default", "chat") or {}).get("metadata", {}) == {})
    assert owners(house, PODS, "chat-0-1") == []
    assert house.nodes.num_drains == 0


@pytest.mark.parametrize(
    "foreign",
    [
        {"ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "uid-web", "controller": True}]},
        {"labels": {names.LABEL_CLUSTER: "chat"}},
        {"name": "chat-0-09"},
        {"name": "other-0-9"},
    ],
)
async def test_a_strangers_pod_stays_the_strangers(house: House, foreign: dict[str, Any]) -> None:
    body = copy.deepcopy(house.api.get(PODS, "default", "chat-0-1"))
    assert body
    for kept in ("ownerReferences", "uid", "resourceVersion"):
        del body["metadata"][kept]
    body["metadata"] |= {"name": "chat-0-9", **foreign}
    house.api.put(PODS, body)
    name = body["metadata"]["name"]
    before = house.api.get(PODS, "default", name)

    house.edit(replicas=2)
    await until(lambda: "chat-1-1" in house.pods())

    assert house.api.get(PODS, "default", name) == before
