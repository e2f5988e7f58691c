"""What somebody else has under a name that a pool needs stays theirs; the pool says so and waits."""

from collections.abc import AsyncIterator

import pytest
from tests.support import builders
from tests.support.house import House, open_house
from tests.support.poll_async import until

from kvring_contract import names
from kvring_contract.api import Key
from kvring_operator.resources import BUDGETS, CLUSTERS, CONFIG_MAPS, PODS, SECRETS, SERVICES, Resource


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as house:
        yield house


async def its_member_serves(house: House) -> None:
    """Play kubelet until the only member is available, though the pool may not be Ready."""
    await house.has_pods("chat-0-1")
    house.run_pod("chat-0-1")
    await until(lambda: house.gate("chat-0-1") == "True")
    house.run_pod("chat-0-1")
    await until(lambda: house.reason("Available") == "AllMembersReady")


@pytest.mark.parametrize(
    ("resource", "name"),
    [(SERVICES, "chat"), (SERVICES, "chat-members"), (CONFIG_MAPS, "chat-ring"), (BUDGETS, "chat")],
)
async def test_what_a_stranger_made_under_our_name_stays_the_strangers(
    house: House, resource: Resource, name: str
) -> None:
    made = house.api.put(
        resource,
        {"kind": resource.kind, "metadata": {"name": name, "namespace": "default"}, "spec": {"ours": "no"}},
    )
    house.create(1)
    house.wake()

    await until(lambda: house.reason("Degraded") == "NameTaken")

    found = house.api.get(resource, "default", name)
    assert found
    assert (found["spec"], found["metadata"]["uid"]) == (made["spec"], made["metadata"]["uid"])
    assert "ownerReferences" not in found["metadata"]
    assert f"{resource.kind} {name}" in house.message("Degraded")


async def test_no_node_hears_of_a_ring_that_may_not_be_written_and_the_rest_is_reported(house: House) -> None:
    stranger = {"kind": "ConfigMap", "metadata": {"name": "chat-ring", "namespace": "default"}}
    house.api.put(CONFIG_MAPS, stranger)
    house.create(1)
    house.wake()
    await house.has_pods("chat-0-1")

    house.run_pod("chat-0-1")

    await until(lambda: house.status().get("members", [{}])[0].get("machine") == "m1")
    assert house.reason("Degraded") == "NameTaken"
    assert house.nodes.num_pushes == 0


async def test_two_resources_whose_service_names_meet_do_not_share_it(house: House) -> None:
    """`chat` has a Service `chat-members`, and so has a resource of that name."""
    house.create(0)
    house.wake()
    await until(lambda: house.api.get(SERVICES, "default", "chat-members") is not None)
    body = builders.body(0)
    body["metadata"] |= {"name": "chat-members", "uid": "uid-members", "finalizers": []}
    house.api.put(CLUSTERS, body)
    assert house.operator
    house.operator.queue.add(Key("default", "chat-members"))

    def reasons() -> set[str]:
        found = (house.api.get(CLUSTERS, "default", "chat-members") or {}).get("status", {})
        return {condition["reason"] for condition in found.get("conditions", ())}

    await until(lambda: "NameTaken" in reasons())
    owners = (house.api.get(SERVICES, "default", "chat-members") or {})["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["chat"]


@pytest.mark.parametrize("file", ["password", names.INTERNAL_KEY_FILE])
async def test_a_strangers_secret_gets_no_key_of_ours_and_gives_none(house: House, file: str) -> None:
    owners = [{"kind": "Deployment", "name": "other", "uid": "uid-other"}]
    meta = {"name": "chat-internal", "namespace": "default", "ownerReferences": owners}
    house.api.put(SECRETS, {"metadata": meta, "data": {file: "aGk="}})
    house.create(1)
    house.wake()

    await until(lambda: house.reason("Degraded") == "NameTaken")

    assert (house.api.get(SECRETS, "default", "chat-internal") or {})["data"] == {file: "aGk="}
    assert not house.api.all(PODS), "they would mount the stranger's"


async def test_members_whose_service_is_a_strangers_are_not_ready_for_anybody(house: House) -> None:
    taken = {"kind": "Service", "metadata": {"name": "chat", "namespace": "default"}, "spec": {"ours": "no"}}
    house.api.put(SERVICES, taken)
    house.create(1)
    house.wake()

    await its_member_serves(house)
    assert house.reason("Ready") == "NameTaken"


async def test_a_name_that_is_taken_keeps_no_other_slot_empty(house: House) -> None:
    house.api.put(PODS, {"metadata": {"name": "chat-0-1", "namespace": "default"}, "spec": {}})
    house.create(2)
    house.wake()

    await until(lambda: house.reason("Degraded") == "NameTaken")

    await house.has_pods("chat-0-1", "chat-1-1")
    assert "Pod chat-0-1" in house.message("Degraded")


async def test_members_with_a_service_are_ready_whatever_else_is_taken(house: House) -> None:
    house.api.put(
        BUDGETS, {"kind": "PodDisruptionBudget", "metadata": {"name": "chat", "namespace": "default"}}
    )
    house.create(1)
    house.wake()

    await house.settle("chat-0-1")

    assert house.reason("Degraded") == "NameTaken"
    assert house.condition("Ready") == "True"


async def test_a_roll_out_that_meets_a_strangers_pod_costs_no_readiness(house: House) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")
    house.api.put(PODS, {"metadata": {"name": "chat-0-2", "namespace": "default"}, "spec": {}})

    house.edit(template={"metadata": {"annotations": {"example.com/restarted-at": "noon"}}})

    await until(lambda: house.reason("Degraded") == "NameTaken")
    assert house.condition("Ready") == "True"


async def test_members_without_a_service_are_not_ready_whoever_refused_it(house: House) -> None:
    house.api.fail("PATCH", "/services", 403, "exceeded quota: services", times=10_000)
    house.create(1)
    house.wake()

    await its_member_serves(house)
    assert house.reason("Ready") == "QuotaExceeded"
