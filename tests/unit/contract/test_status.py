from dataclasses import replace

import pytest

from kvring_contract import names, status

CONDITION = status.Condition(names.Condition.READY, "False", "Waiting", "1 of 2", 3, "2026-01-01T00:00:00Z")
STATUS = status.Status(
    observed_generation=3,
    replicas=2,
    wanted_replicas=2,
    ready_replicas=1,
    replication_factor=1,
    selector="kvring.dev/cluster=chat",
    served_name="demo",
    url="http://chat.default.svc:8000",
    ring=status.Ring(epoch=5, checksum="9f2c", members=2, migrating=1),
    cache=status.Cache(hit_rate=0.714, used_bytes=300 * 2**20, target_bytes=2**30),
    members=(status.Member("chat-0", names.MemberState.ACTIVE, "chat-0-1", "vm", 2**20, 2**29),),
    conditions=(CONDITION,),
)


def test_columns_are_texts_that_people_can_read() -> None:
    assert status.render(STATUS)["columns"] == {
        "ready": "1/2",
        "hitPercent": "71",
        "replication": "1/1",
        "moving": "1",
        "cache": "300Mi/1024Mi",
    }


def test_before_any_prompt_there_is_no_hit_rate() -> None:
    rendered = status.render(replace(STATUS, cache=status.Cache(None, 0, 0)))
    assert rendered["columns"]["hitPercent"] == "-"
    assert rendered["cache"] == {"used": "0", "target": "0"}


@pytest.mark.parametrize(
    ("members", "factor", "shown"),
    [(0, 1, "0/1"), (2, 1, "1/1"), (3, 2, "1/2")],
    ids=["an empty pool keeps nothing", "one copy is what is wanted", "nothing is replicated yet"],
)
def test_replication_shows_what_is_kept_and_what_is_wanted(members: int, factor: int, shown: str) -> None:
    ring = replace(STATUS.ring, members=members)
    rendered = status.render(replace(STATUS, ring=ring, replication_factor=factor))
    assert rendered["columns"]["replication"] == shown


def test_amounts_are_quantities_and_rates_are_texts() -> None:
    rendered = status.render(STATUS)
    assert rendered["cache"] == {"hitRate": "0.71", "used": "300Mi", "target": "1Gi"}
    assert rendered["members"][0]["target"] == "512Mi"


def test_conditions_read_back_as_they_were_written() -> None:
    assert status.conditions_of(status.render(STATUS)) == {names.Condition.READY: CONDITION}


def test_conditions_of_a_newer_release_are_passed_over() -> None:
    newer = {"type": "Haunted", "status": "True", "reason": "Ghost", "lastTransitionTime": "x"}
    assert status.conditions_of({"conditions": [newer]}) == {}
    assert status.conditions_of({}) == {}
