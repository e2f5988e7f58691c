"""What users read: conditions, columns and Events, as tables of worlds."""

import copy
import dataclasses
from typing import Any

import pytest
from tests.support import builders
from tests.support.builders import NOW, desired, loading, member, ring, world

from kvring_contract import api
from kvring_operator import checks, plan, report
from kvring_operator.world import Container, World


def made(found: World, replicas: int = 2, now: float = NOW, **spec: Any) -> report.Report:
    wanted = desired(replicas, **spec)
    case = checks.Case(builders.cluster(replicas, **spec).spec, wanted, found, now)
    return report.make(case, plan.make(wanted, found, now))


def conditions(status: Any) -> dict[str, str]:
    return {entry["type"]: f"{entry['status']} {entry['reason']}" for entry in status["conditions"]}


TABLE = [
    (
        "a pool whose members all serve",
        world(member(0), member(1)),
        2,
        {"Ready": "True AllMembersReady", "Degraded": "False Healthy", "Progressing": "False Settled"},
    ),
    (
        "a pool that is loading",
        world(member(0), loading(1), on_ring=ring(member(0))),
        2,
        {"Ready": "False Loading", "ModelLoaded": "False Loading", "Progressing": "True MembersChanging"},
    ),
    (
        "a pool whose pod waits for a volume that nobody brings",
        world(loading(0, container=Container(waiting="ContainerCreating")), on_ring=ring()),
        1,
        {"Ready": "False Loading", "Degraded": "False Healthy"},
    ),
    (
        "a pool of none",
        world(on_ring=ring()),
        0,
        {"Ready": "True ScaledToZero", "Available": "True ScaledToZero", "Degraded": "False Healthy"},
    ),
    (
        "a pool in which a member does not know the ring",
        world(
            member(0),
            member(1),
            reports={
                "chat-0-1": builders.report(member(0), ring(member(0), member(1))),
                "chat-1-1": builders.report(member(1), ring(member(0), epoch=2)),
            },
        ),
        2,
        {"Ready": "False EpochSpreading", "RingConverged": "False EpochSpreading"},
    ),
    (
        "a pool whose only pod crashes",
        world(builders.crashed(0, "ModelNotFound", "no such folder"), on_ring=ring()),
        1,
        {"Ready": "False ModelNotFound", "Degraded": "True ModelNotFound"},
    ),
]


@pytest.mark.parametrize(("sentence", "found", "replicas", "wanted"), TABLE, ids=[row[0] for row in TABLE])
def test_conditions(sentence: str, found: World, replicas: int, wanted: dict[str, str]) -> None:
    told = conditions(made(found, replicas).status)

    assert wanted.items() <= told.items()


def test_a_pod_that_does_not_begin_is_named_with_the_command_that_says_why() -> None:
    found = world(loading(0, container=Container(waiting="ContainerCreating")), on_ring=ring())
    messages = {entry["type"]: entry["message"] for entry in made(found, 1).status["conditions"]}

    assert "kubectl describe pod chat-0-1" in messages["ModelLoaded"]
    assert messages["Ready"] == messages["ModelLoaded"]


def test_a_resource_that_is_being_deleted_says_so_and_asks_for_nothing() -> None:
    going = builders.body(2, deleted=True)
    found = world(member(0, ring="draining", draining_since=NOW), of=going, on_ring=ring())

    status = made(found, 2, deleted=True).status

    told = conditions(status)
    assert (told["Ready"], told["Available"], told["Progressing"]) == (
        "False Deleting",
        "False Deleting",
        "True Deleting",
    )
    assert "spec.replicas" not in str(status["conditions"])


def test_all_known_conditions_are_told_at_the_first_visit() -> None:
    told = conditions(made(world(of=builders.body()), 2).status)

    assert {
        "Available",
        "Progressing",
        "Degraded",
        "ModelLoaded",
        "RingConverged",
        "ReplicationSatisfied",
        "CacheCompatible",
        "CacheSizingLimited",
        "Ready",
    } == told.keys()


def test_more_copies_than_members_is_a_condition_and_no_refusal() -> None:
    told = made(world(member(0)), 1, cache={"replicationFactor": 3})

    assert conditions(told.status)["ReplicationSatisfied"] == "False TooFewMembers"
    assert conditions(told.status)["Available"] == "True AllMembersReady"


def test_pending_features_are_named_while_there_are_some() -> None:
    told = made(world(member(0)), 1, cache={"quantization": "Int8"})
    messages = {entry["type"]: entry["message"] for entry in told.status["conditions"]}

    assert "spec.cache.quantization" in messages["FeaturesPending"]
    assert "FeaturesPending" not in conditions(made(world(member(0)), 1).status)


def test_members_that_differ_share_no_pages_and_it_is_said() -> None:
    on_ring = ring(member(0), member(1))
    reports = {
        "chat-0-1": builders.report(member(0), on_ring, fingerprint="aaaa"),
        "chat-1-1": builders.report(member(1), on_ring, fingerprint="bbbb"),
    }

    told = conditions(made(world(member(0), member(1), reports=reports)).status)

    assert told["CacheCompatible"] == "False FingerprintsDiffer"


def test_nothing_ticks() -> None:
    """Two reports of an unchanged pool are equal, an hour apart: an idle pool is never written."""
    first = made(world(member(0), member(1)))
    settled = dataclasses.replace(world(member(0), member(1)), status=first.status)

    again = made(settled, now=NOW + 3600)

    assert again.status == first.status
    assert again.notes == ()


@pytest.mark.parametrize("silent", [("chat-0-1",), ("chat-1-1",), ("chat-0-1", "chat-1-1")])
def test_members_that_do_not_answer_once_change_nothing(silent: tuple[str, ...]) -> None:
    used: dict[str, Any] = {
        "prefix_queries_tokens": 1000,
        "prefix_hits_tokens": 715,
        "cache_used_bytes": 1 << 20,
    }
    before = world(member(0), member(1))
    told = {name: dataclasses.replace(said, **used) for name, said in before.reports.items()}
    status = made(dataclasses.replace(before, reports=told)).status
    heard = {name: said for name, said in told.items() if name not in silent}
    found = dataclasses.replace(before, reports=heard, status=status)

    again = made(found, now=NOW + 60)

    assert again.status == status
    assert plan.make(desired(2), found, NOW + 60).actions == ()


@pytest.mark.parametrize(
    ("sentence", "changes"),
    [
        ("it is not Ready", {"ready": False}),
        ("it holds another ring than was told", {"status": {"ring": {"epoch": 2, "checksum": "x"}}}),
    ],
)
def test_a_member_that_does_not_answer_is_not_believed_if(sentence: str, changes: dict[str, Any]) -> None:
    settled = world(member(0))
    status = made(settled, 1).status
    ready = changes.get("ready", True)
    found = world(
        member(0, ready=ready),
        on_ring=settled.ring,
        reports={},
        status={**status, **changes.get("status", {})},
    )

    assert conditions(made(found, 1).status)["RingConverged"] == "False EpochSpreading"


def test_a_transition_has_its_moment_and_an_unchanged_condition_keeps_its_own() -> None:
    before = made(world(member(0), loading(1), on_ring=ring(member(0)))).status
    after = made(dataclasses.replace(world(member(0), member(1)), status=before), now=NOW + 60).status
    since = {entry["type"]: entry["lastTransitionTime"] for entry in after["conditions"]}

    assert since["Ready"] > since["Degraded"]


def test_events_tell_what_turned() -> None:
    before = made(world(member(0), loading(1), on_ring=ring(member(0)))).status
    good = made(dataclasses.replace(world(member(0), member(1)), status=before))
    killed = world(builders.crashed(0, "OOMKilled"), on_ring=ring())
    bad = made(dataclasses.replace(killed, status=good.status), 1)

    assert [(note.reason, note.warning) for note in good.notes] == [("AllMembersReady", False)]
    assert [(note.reason, note.warning) for note in bad.notes] == [("OutOfMemory", True)]


@pytest.mark.parametrize("gone", ["columns", "members", "cache", "hitPercent", "used", "target"])
def test_a_status_that_lacks_what_the_crd_does_not_require_is_written_anew(gone: str) -> None:
    """Somebody edited it, or another release wrote it, while no member answers."""
    pool = world(member(0), member(1))
    whole = made(pool).status
    before: dict[str, Any] = copy.deepcopy(dict(whole))
    for room in (before, before["columns"], *before["members"]):
        room.pop(gone, None)

    status = made(dataclasses.replace(pool, status=before, reports={})).status

    assert status.keys() == whole.keys()
    assert status["columns"].keys() == whole["columns"].keys()
    assert [entry.keys() for entry in status["members"]] == [entry.keys() for entry in whole["members"]]


def test_columns_are_what_kubectl_prints() -> None:
    on_ring = ring(member(0))
    used: dict[str, Any] = {
        "prefix_queries_tokens": 100,
        "prefix_hits_tokens": 71,
        "cache_used_bytes": 1 << 20,
    }
    said = builders.report(member(0), on_ring, **used)

    status = made(world(member(0), reports={"chat-0-1": said}), 1).status

    assert status["columns"] == {
        "ready": "1/1",
        "hitPercent": "71",
        "replication": "1/1",
        "moving": "0",
        "cache": "1Mi/64Mi",
    }
    assert status["members"][0] == {
        "name": "chat-0",
        "state": "Active",
        "pod": "chat-0-1",
        "machine": "m1",
        "used": "1Mi",
        "target": "64Mi",
    }


def test_a_spec_that_cannot_be_read_leaves_the_rest_of_the_status_alone() -> None:
    before = made(world(member(0)), 1).status
    found = dataclasses.replace(world(member(0)), status=before)

    told = report.invalid(found, api.ParseError("spec.model.uri", "is required"), NOW)

    assert conditions(told.status)["Ready"] == "False InvalidSpec"
    assert "spec.model.uri" in told.status["conditions"][0]["message"]
    assert told.status["members"] == before["members"]
    assert told.notes[0].warning
