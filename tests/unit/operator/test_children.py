"""Children as they should be, and which differences are ours to heal."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.support import builders

from kvring_contract import names
from kvring_contract import ring as rings
from kvring_operator import children

SERVICE, MEMBERS, LOCK = children.settled(builders.KEY, builders.UID)


def test_clients_reach_ready_members_and_peers_reach_all() -> None:
    assert {port["port"]: port["targetPort"] for port in SERVICE["spec"]["ports"]} == {
        80: "http",
        8000: "http",
    }
    assert MEMBERS["spec"]["publishNotReadyAddresses"] is True
    assert MEMBERS["spec"]["clusterIP"] == "None"


def test_the_lock_refuses_every_eviction_of_a_serving_pod() -> None:
    spec = LOCK["spec"]

    assert spec["minAvailable"] == 1_000_000
    assert spec["selector"]["matchLabels"] == {names.LABEL_CLUSTER: "chat", names.LABEL_RING: "serving"}


def test_the_ring_survives_its_config_map() -> None:
    ring = builders.ring(builders.member(0), builders.member(1))

    assert children.ring_of(children.ring_map(builders.KEY, builders.UID, ring)) == ring


@pytest.mark.parametrize(
    "text", ["", "no JSON", '{"epoch": 1}', rings.dumps(builders.ring(epoch=2)).replace("2", "3")]
)
def test_a_spoiled_ring_is_none(text: str) -> None:
    assert children.ring_of({"data": {names.RING_DOCUMENT_KEY: text}}) is None


def defaulted(body: dict[str, Any]) -> None:
    body["spec"] |= {"clusterIP": "10.0.0.1", "sessionAffinity": "None"}
    body["spec"]["ports"][0]["nodePort"] = 30000


def labelled(body: dict[str, Any]) -> None:
    body["metadata"]["labels"]["team"] = "a"


def retargeted(body: dict[str, Any]) -> None:
    body["spec"]["ports"][0]["targetPort"] = 9


def narrowed(body: dict[str, Any]) -> None:
    body["spec"]["selector"]["extra"] = "x"


def orphaned(body: dict[str, Any]) -> None:
    body["metadata"]["ownerReferences"] = []


def unlabelled(body: dict[str, Any]) -> None:
    del body["metadata"]["labels"][names.LABEL_CLUSTER]


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        (defaulted, True),
        (labelled, True),
        (retargeted, False),
        (narrowed, False),
        (orphaned, False),
        (unlabelled, False),
    ],
)
def test_what_others_add_is_theirs_and_what_we_wrote_is_ours(
    change: Callable[[dict[str, Any]], None], fits: bool
) -> None:
    found = copy.deepcopy(SERVICE)
    change(found)

    assert fits == children.fits(SERVICE, found)
