"""The whole operator but kopf, on doubles of the API server and the nodes: what it writes and gets over."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.house import House, open_house
from tests.support.poll_async import until

from kvring_contract import names, wire
from kvring_operator.resources import (
    BUDGETS,
    CLUSTERS,
    CONFIG_MAPS,
    EVENTS,
    MACHINES,
    PODS,
    SECRETS,
    SERVICES,
)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as house:
        yield house


async def test_a_resource_becomes_a_ready_pool(house: House) -> None:
    house.create(2)
    house.wake()

    await house.settle("chat-0-1", "chat-1-1")

    assert {"chat", "chat-members"} == {body["metadata"]["name"] for body in house.api.all(SERVICES)}
    assert [len(house.api.all(kind)) for kind in (SECRETS,)] == [1]
    assert house.api.get(BUDGETS, "default", "chat")
    assert house.status()["columns"]["ready"] == "2/2"
    assert {7} == {report.fencing for report in house.nodes.reports.values()}


async def test_a_settled_pool_is_not_written_again(house: House) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")
    await until(lambda: house.condition("Progressing") == "False")
    before = len(house.api.writes)
    for _ in range(5):
        asked = len(house.api.requests)
        house.wake()
        await until(lambda asked=asked: len(house.api.requests) > asked + 1)  # type: ignore[misc]  # bound at once

    assert house.api.writes[before:] == []


async def test_a_restarted_operator_changes_nothing(house: House) -> None:
    house.create(2)
    house.wake()
    await house.settle("chat-0-1", "chat-1-1")
    await until(lambda: house.condition("Progressing") == "False")
    await house.stop()
    before, asked = len(house.api.writes), len(house.api.requests)

    house.start()

    await until(lambda: any("/secrets/" in path for _, path in house.api.requests[asked:]))
    await until(lambda: house.operator is not None and not len(house.operator.queue))
    assert house.api.writes[before:] == []


async def test_the_ring_is_written_before_any_node_hears_of_it(house: House) -> None:
    house.api.fail("PATCH", "/configmaps/chat-ring", 500, times=2)
    house.create(1)
    house.wake()

    await house.settle("chat-0-1")

    stored = house.api.get(CONFIG_MAPS, "default", "chat-ring")
    held = house.nodes.reports["127.77.1.1"]
    assert stored
    assert (str(held.ring_epoch), held.ring_checksum) == (stored["data"]["epoch"], stored["data"]["checksum"])


async def test_a_pod_whose_label_was_taken_away_gets_it_back_and_no_twin(house: House) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")
    body = house.api.get(PODS, "default", "chat-0-1")
    assert body
    labels = {
        name: value for name, value in body["metadata"]["labels"].items() if name != names.LABEL_CLUSTER
    }

    house.api.put(PODS, {**body, "metadata": {**body["metadata"], "labels": labels}})

    def healed() -> bool:
        found = house.api.get(PODS, "default", "chat-0-1")
        return found is not None and names.LABEL_CLUSTER in found["metadata"]["labels"]

    await until(healed)
    assert house.pods() == ["chat-0-1"]


@pytest.mark.parametrize("resource", [SERVICES, BUDGETS])
async def test_a_deleted_child_comes_back(house: House, resource: Any) -> None:
    house.create(0)
    house.wake()
    await until(lambda: house.api.get(resource, "default", "chat") is not None)

    house.api.take(resource, "default", "chat")

    await until(lambda: house.api.get(resource, "default", "chat") is not None)


async def test_a_quota_is_reported_and_tried_again(house: House) -> None:
    house.api.fail("POST", "/pods", 403, 'pods "chat-0-1" is forbidden: exceeded quota: small', times=3)
    house.create(1)
    house.wake()

    await until(lambda: house.reason("Ready") == "QuotaExceeded")
    house.wake()
    house.wake()
    await house.has_pods("chat-0-1")


async def test_a_quota_of_services_asks_for_no_fewer_members(house: House) -> None:
    house.api.fail("PATCH", "/services/chat", 403, "exceeded quota: small", times=3)
    house.create()
    house.wake()
    await until(lambda: house.reason("Degraded") == "QuotaExceeded")
    told = house.message("Degraded")
    assert "two Services" in told
    assert "replicas" not in told


async def test_a_namespace_that_is_going_is_no_endless_loop(house: House) -> None:
    forbidden = "unable to create new content in namespace default because it is being terminated"
    house.api.fail("POST", "/", 403, forbidden, times=10_000)
    house.create(1)
    house.wake()

    await until(lambda: house.reason("Ready") == "NamespaceTerminating")

    assert len(house.api.writes) < 30


async def test_an_api_server_in_trouble_is_waited_out(house: House) -> None:
    house.api.fail("POST", "/pods", 500, times=3)
    house.create(2)
    house.wake()

    await house.settle("chat-0-1", "chat-1-1")


async def test_scaling_down_drains_before_it_deletes(house: House) -> None:
    house.create(2)
    house.wake()
    await house.settle("chat-0-1", "chat-1-1")
    busy = dataclasses.replace(house.nodes.reports["127.77.1.2"], num_running=1)
    house.nodes.reports["127.77.1.2"] = busy

    house.edit(replicas=1)
    await until(lambda: house.nodes.reports["127.77.1.2"].draining)
    assert house.pods() == ["chat-0-1", "chat-1-1"]
    assert house.gate("chat-1-1") == "False"
    house.nodes.reports["127.77.1.2"] = dataclasses.replace(busy, num_running=0, draining=True)

    await house.has_pods("chat-0-1")
    told = {"MemberLeaving", "MemberLeft"}
    await until(lambda: told <= {event["reason"] for event in house.api.all(EVENTS)})


async def test_a_pod_on_a_machine_that_no_watch_has_told_of_yet_is_let_run(house: House) -> None:
    house.create(1)
    house.wake()
    await house.has_pods("chat-0-1")
    house.add_machine("m2", told=False)

    house.run_pod("chat-0-1", "m2")
    await until(lambda: house.gate("chat-0-1") == "True")

    assert house.pods() == ["chat-0-1"]
    assert not [path for method, path in house.api.writes if method == "DELETE"]


async def test_a_pod_whose_machine_is_gone_is_ended_and_replaced(house: House) -> None:
    house.add_machine("m2")
    house.create(1)
    house.wake()
    await house.has_pods("chat-0-1")
    house.run_pod("chat-0-1", "m2")
    await until(lambda: house.gate("chat-0-1") == "True")

    house.api.take(MACHINES, "", "m2")

    await house.has_pods("chat-0-2")


async def test_a_deleted_resource_goes_after_its_members(house: House) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")
    body = house.api.get(CLUSTERS, "default", "chat")
    assert body
    assert body["metadata"]["finalizers"] == [names.FINALIZER]

    house.delete()

    await until(lambda: house.api.get(CLUSTERS, "default", "chat") is None)
    assert house.pods() == []


@pytest.mark.parametrize("env", [{"A": "b"}, [{"value": "x"}], "A=b", [None]])
async def test_a_deletion_ends_also_when_the_overlay_cannot_be_read(house: House, env: Any) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")

    house.edit(template={"spec": {"containers": [{"name": "node", "env": env}]}})
    await until(lambda: house.reason("Ready") == "InvalidSpec")
    assert "spec.template.spec.containers[0].env" in house.message("Ready")
    house.delete()

    await until(lambda: house.api.get(CLUSTERS, "default", "chat") is None)
    assert house.pods() == []


async def test_a_spec_that_got_past_the_rules_is_a_condition(house: House) -> None:
    house.create(1, cache={"size": {"min": "9Gi", "initial": "1Gi", "max": "2Gi"}})
    house.wake()

    await until(lambda: house.reason("Ready") == "InvalidSpec")

    assert house.pods() == []


async def test_a_node_that_answers_garbage_is_not_believed(house: House) -> None:
    house.nodes.garbage = True
    house.create(1)
    house.wake()
    await house.has_pods("chat-0-1")
    house.run_pod("chat-0-1")

    await until(lambda: house.reason("RingConverged") == "EpochSpreading")

    assert house.gate("chat-0-1") != "True"
    assert isinstance(house.nodes.reports["127.77.1.1"], wire.NodeReport)
