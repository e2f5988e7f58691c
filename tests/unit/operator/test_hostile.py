"""What tenants, strangers and broken nodes do to an operator: it harms their own pool at most."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import prometheus_client
import pytest
from tests.support import builders
from tests.support.clock import VirtualClock
from tests.support.house import House, open_house
from tests.support.poll_async import until

from kvring_contract import names, wire
from kvring_contract.api import Key
from kvring_operator.__main__ import allowed, until_crd
from kvring_operator.clock import SystemClock
from kvring_operator.kube import Kube
from kvring_operator.nodes import NoAnswer, Nodes
from kvring_operator.resources import (
    BUDGETS,
    CLUSTERS,
    CONFIG_MAPS,
    EVENTS,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)

OTHER = Key("default", "other")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with open_house() as house:
        yield house


def change(house: House, resource: Resource, name: str, **fields: Any) -> None:
    body = house.api.get(resource, "default", name)
    assert body
    meta = {**body["metadata"], **fields.pop("metadata", {})}
    house.api.put(resource, {**body, **fields, "metadata": meta})


def visits(result: str) -> float:
    """How many there have been, of all operators of this process."""
    labels = {"result": result}
    return prometheus_client.REGISTRY.get_sample_value("kvring_operator_reconciles_total", labels) or 0.0


async def other_pool_works(house: House) -> None:
    """Another resource gets its pods."""
    body = builders.body(1)
    body["metadata"] |= {"name": "other", "uid": "uid-other", "finalizers": []}
    house.api.put(CLUSTERS, body)
    assert house.operator
    house.operator.queue.add(OTHER)
    await until(lambda: house.api.get(PODS, "default", "other-0-1") is not None)
    assert house.running


async def test_a_spoiled_annotation_on_a_pod_ends_nobody(house: House) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")

    change(house, PODS, "chat-0-1", metadata={"annotations": {names.ANNOTATION_DRAINING_SINCE: "soon"}})

    await other_pool_works(house)


@pytest.mark.parametrize(
    "document", ["[" * 100_000, '{"epoch": 1e999}', '{"epoch": "9", "members": 3}', "", "null"]
)
async def test_a_spoiled_ring_is_written_anew(house: House, document: str) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")
    before = house.status()["ring"]["epoch"]

    change(house, CONFIG_MAPS, "chat-ring", data={names.RING_DOCUMENT_KEY: document})

    def mended() -> bool:
        data = (house.api.get(CONFIG_MAPS, "default", "chat-ring") or {})["data"]
        return bool(data[names.RING_DOCUMENT_KEY] != document and int(data["epoch"]) >= before)

    await until(mended)
    await other_pool_works(house)


async def test_a_fault_in_one_visit_stops_no_other_resource(house: House) -> None:
    """The API server never sends such an object; if it does, its resource waits alone."""
    house.create(1)
    body = house.api.get(CLUSTERS, "default", "chat")
    assert body
    before = visits("broken")
    house.api.put(CLUSTERS, {**body, "status": {"ring": {"epoch": "no number"}}})
    house.wake()

    await other_pool_works(house)
    await until(lambda: visits("broken") > before)


async def test_no_node_hears_of_a_ring_whose_writing_met_a_conflict(house: House) -> None:
    house.create(1)
    house.wake()
    await house.has_pods("chat-0-1")
    house.api.fail("PATCH", "/configmaps/chat-ring", 409, times=3)
    written = "/api/v1/namespaces/default/configmaps/chat-ring"
    asked, failed, conflicts = len(house.api.requests), visits("failed"), visits("conflict")

    house.run_pod("chat-0-1")
    await until(lambda: house.api.requests[asked:].count(("PATCH", written)) == 3)
    assert house.nodes.num_pushes == 0

    await until(lambda: house.gate("chat-0-1") == "True")
    assert (visits("failed"), visits("conflict")) == (failed, conflicts + 3)


async def test_our_secret_without_its_key_gets_a_new_one(house: House) -> None:
    house.create(0)
    house.wake()
    await until(lambda: house.api.get(SECRETS, "default", "chat-internal") is not None)
    change(house, SECRETS, "chat-internal", data={})
    house.wake()

    await until(lambda: bool((house.api.get(SECRETS, "default", "chat-internal") or {}).get("data")))


@pytest.mark.parametrize(
    ("resource", "name"), [(SERVICES, "chat"), (BUDGETS, "chat"), (SECRETS, "chat-internal")]
)
async def test_what_somebody_deleted_comes_back_and_it_is_said(
    house: House, resource: Resource, name: str
) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")
    assert "ChildHealed" not in {event["reason"] for event in house.api.all(EVENTS)}

    house.api.take(resource, "default", name)
    house.wake()

    await until(lambda: house.api.get(resource, "default", name) is not None)
    await until(lambda: "ChildHealed" in {event["reason"] for event in house.api.all(EVENTS)})
    (note,) = [event["note"] for event in house.api.all(EVENTS) if event["reason"] == "ChildHealed"]
    assert f"{resource.kind} {name}" in note


async def test_a_service_that_lost_its_label_gets_it_back(house: House) -> None:
    house.create(0)
    house.wake()
    await until(lambda: house.api.get(SERVICES, "default", "chat") is not None)

    change(house, SERVICES, "chat", metadata={"labels": {}})

    def labelled() -> bool:
        found = house.api.get(SERVICES, "default", "chat")
        return found is not None and names.LABEL_CLUSTER in found["metadata"]["labels"]

    await until(labelled)


async def test_a_quota_costs_one_attempt_a_visit_however_many_pods_are_missing(house: House) -> None:
    house.api.fail("POST", "/pods", 403, "exceeded quota: small", times=10_000)
    house.create(50)
    house.wake()

    await until(lambda: house.reason("Degraded") == "QuotaExceeded")

    tried = [path for method, path in house.api.writes if method == "POST" and path.endswith("/pods")]
    visits = [path for method, path in house.api.requests if path.endswith("/secrets/chat-internal")]
    assert len(tried) <= len(visits)


async def test_a_quota_that_is_counted_anew_at_the_moment_is_asked_again(house: House) -> None:
    """The API server's quota controller answers 409 to creations that come all at once."""
    house.api.fail(
        "POST", "/pods", 409, "Operation cannot be fulfilled on resourcequotas: try again", times=3
    )
    house.create(2)
    house.wake()

    await house.settle("chat-0-1", "chat-1-1")
    assert house.reason("Degraded") == "Healthy"


async def test_a_broken_webhook_is_told_and_stops_nothing_else(house: House) -> None:
    broken = 'Internal error occurred: failed calling webhook "check.example.com": connection refused'
    house.api.fail("POST", "/services", 500, broken, times=10_000)
    house.api.fail("PATCH", "/services", 500, broken, times=10_000)
    house.api.fail("POST", "/events", 500, broken, times=10_000)
    house.create(1)
    house.wake()
    await house.has_pods("chat-0-1")
    failed = visits("failed")
    house.run_pod("chat-0-1")

    await until(lambda: house.gate("chat-0-1") == "True")
    assert house.reason("Degraded") == "Refused"
    assert "check.example.com" in house.message("Degraded")
    assert "mend or remove it" in house.message("Degraded")
    await until(lambda: visits("failed") > failed)


async def test_who_may_lead_no_more_writes_neither_status_nor_event(house: House) -> None:
    house.deposed = True
    house.create(1, cache={"size": {"min": "9Gi", "initial": "1Gi", "max": "2Gi"}})
    failed = visits("failed")
    house.wake()

    await until(lambda: visits("failed") >= failed + 2)

    assert house.api.writes == []


async def test_a_node_that_refuses_its_ring_is_not_asked_in_a_hot_loop(house: House) -> None:
    house.nodes.refuses = True
    house.create(1)
    house.wake()
    await house.has_pods("chat-0-1")
    house.run_pod("chat-0-1")
    await until(lambda: house.nodes.num_pushes > 0)
    before = house.nodes.num_pushes
    clock = SystemClock()
    began = clock.monotonic()

    await until(lambda: house.nodes.num_pushes >= before + 4)

    assert clock.monotonic() - began > 1.0, "four pushes come in two seconds, not in a fifth of one"


async def test_a_node_that_sends_its_caller_elsewhere_is_not_followed(house: House) -> None:
    house.nodes.redirect = f"http://127.0.0.1:{house.nodes.port}{wire.REPORT_PATH}"
    client = Nodes(SystemClock(), house.nodes.port)

    with pytest.raises(NoAnswer, match="307"):
        await client.report("127.88.0.1", b"key")
    await client.close()


async def test_an_answer_without_end_is_not_read_to_its_end(house: House) -> None:
    house.nodes.endless = True
    client = Nodes(SystemClock(), house.nodes.port)

    with pytest.raises(NoAnswer, match="longer than"):
        await client.report("127.88.0.1", b"key")
    await client.close()


@pytest.mark.parametrize("epoch", [1 << 63, 10**400])
async def test_a_node_cannot_drive_the_epoch_beyond_what_the_api_holds(house: House, epoch: int) -> None:
    house.create(1)
    house.wake()
    await house.settle("chat-0-1")
    liar = dataclasses.replace(house.nodes.reports["127.77.1.1"], ring_epoch=epoch)
    house.nodes.reports["127.77.1.1"] = liar
    before = visits("done")
    house.wake()

    await until(lambda: visits("done") > before)

    assert house.status()["ring"]["epoch"] < 100
    await other_pool_works(house)


async def test_a_namespace_that_is_gone_with_its_role_keeps_no_other_waiting(house: House) -> None:
    await house.stop()
    house.api.fail("GET", "/namespaces/gone/", 403, "no Role there", times=10_000)
    house.create(1)
    lost = builders.body(1)
    lost["metadata"] |= {"namespace": "gone", "uid": "uid-gone"}
    house.api.put(CLUSTERS, lost)

    house.start("gone", "default")
    assert house.operator
    house.operator.queue.add(Key("gone", "chat"))

    await house.settle("chat-0-1")
    assert {body["metadata"]["namespace"] for body in house.api.all(PODS)} == {"default"}


@pytest.mark.parametrize(
    ("watched", "left"),
    [((), ()), (("gone", "default"), ("default",)), (("gone",), ("gone",)), (("default",), ("default",))],
)
async def test_kopf_is_not_told_of_a_namespace_that_it_may_not_watch(
    house: House, watched: tuple[str, ...], left: tuple[str, ...]
) -> None:
    house.api.fail("GET", "/namespaces/gone/", 403, "no Role there", times=10)
    client = Kube(house.api.login)

    assert await allowed(client, watched) == left
    await client.close()


@pytest.mark.parametrize("namespace", ["", "default"])
async def test_a_kind_that_is_not_there_yet_is_waited_for_and_told_once(
    house: House, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    if namespace:
        house.api.fail("GET", "/v1alpha1/inferenceclusters?", 403, "everywhere is not ours to see", times=99)
    house.api.fail(
        "GET", "/inferenceclusters?", 404, "the server could not find the requested resource", times=3
    )
    client, clock = Kube(house.api.login), VirtualClock()
    waiting = asyncio.create_task(until_crd(client, clock, namespace))
    for _ in range(3):
        await until(lambda: bool(clock.sleeping))
        assert not waiting.done()
        await clock.advance(1)

    await waiting
    assert [found.levelname for found in caplog.records if found.name == "kvring_operator"] == ["WARNING"]
    await client.close()
