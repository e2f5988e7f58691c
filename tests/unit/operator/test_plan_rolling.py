"""The planner as a table: roll-outs, and machines that leave, vanish or come back. Each row is a sentence."""

import dataclasses

import pytest
from tests.support import builders
from tests.support.builders import NOW, desired, loading, member, pending, ring, world
from tests.support.plan_rows import DRAINING, Row, busy

from kvring_operator.world import Machine, Phase

OLD = builders.old_hash()
CORDONED = Machine("m1", ready=True, leaving="it is cordoned")
AWAY = Machine("m1", ready=False)
LOST = Machine("m1", ready=False, leaving="it was declared out of service", out_of_service=True)
ROLLING = [
    Row(
        "roll-out: the new pod is made before the old one goes, one at a time",
        desired(2),
        world(member(0, template_hash=OLD), member(1, template_hash=OLD)),
        ["create chat-0-2"],
    ),
    Row(
        "roll-out: wait for the new pod before the old one goes",
        desired(2),
        world(
            member(0, template_hash=OLD),
            loading(0, 2),
            member(1, template_hash=OLD),
            on_ring=ring(member(0), member(1)),
        ),
        [],
    ),
    Row(
        "roll-out: the slot passes to the new pod when it has loaded, and the old one serves on",
        desired(1),
        world(member(0, template_hash=OLD), loading(0, 2, container=builders.READY), on_ring=ring(member(0))),
        ["publish epoch 4: chat-0-2 Active", "push epoch 4 to chat-0-2"],
    ),
    Row(
        "roll-out: the old pod leaves when the new one is ready",
        desired(1),
        world(member(0, template_hash=OLD), member(0, 2), on_ring=ring(member(0, 2))),
        ["BeginDrain chat-0-1", "gate of chat-0-1 closes"],
    ),
    Row(
        "roll-out: the next slot waits until the old pod of the last one is gone",
        desired(2),
        busy(
            world(
                member(0, template_hash=OLD, gate=False, **DRAINING),
                member(0, 2),
                member(1, template_hash=OLD),
                on_ring=ring(member(0, 2), member(1)),
            ),
            "chat-0-1",
            1,
        ),
        [],
    ),
    Row(
        "roll-out without surge: the old pod goes first, within maxUnavailable",
        desired(2, rollout={"maxSurge": 0, "maxUnavailable": 1}),
        world(member(0, template_hash=OLD), member(1, template_hash=OLD)),
        ["BeginDrain chat-0-1"],
    ),
    Row(
        "out of date and not ready: replaced at once, whatever the budget",
        desired(2),
        world(loading(0, template_hash=OLD), loading(1, template_hash=OLD), on_ring=ring()),
        ["create chat-0-2", "create chat-1-2", "BeginDrain chat-0-1", "BeginDrain chat-1-1"],
    ),
    Row(
        "a revert in the middle of a roll-out keeps the old pod and sends the new one away",
        desired(1),
        world(member(0), loading(0, 2, template_hash=OLD), on_ring=ring(member(0))),
        ["BeginDrain chat-0-2"],
    ),
    Row(
        "a change of mind in a roll-out replaces the pod that is not ready, not the one that serves",
        desired(1),
        world(member(0, template_hash=OLD), loading(0, 2, template_hash="older"), on_ring=ring(member(0))),
        ["BeginDrain chat-0-2"],
    ),
    Row(
        "roll-out: a new pod that was refused a moment ago keeps its place until the next attempt",
        desired(2),
        world(
            member(0, template_hash=OLD),
            pending(0, 2, phase=Phase.FAILED, created_at=NOW - 2),
            member(1, template_hash=OLD),
            on_ring=ring(member(0), member(1)),
        ),
        [],
    ),
    Row(
        "roll-out: a new pod that finds no room gets that of the old one, where maxUnavailable allows it",
        desired(1, rollout={"maxSurge": 1, "maxUnavailable": 1}),
        world(
            member(0, template_hash=OLD),
            pending(0, 2, unschedulable="Insufficient nvidia.com/gpu"),
            on_ring=ring(member(0)),
        ),
        ["BeginDrain chat-0-1"],
    ),
    Row(
        "roll-out: a new pod that finds no room waits for it, where maxUnavailable is 0",
        desired(1),
        world(
            member(0, template_hash=OLD),
            pending(0, 2, unschedulable="Insufficient nvidia.com/gpu"),
            on_ring=ring(member(0)),
        ),
        [],
    ),
    Row(
        "another version of the hash function is no drift",
        desired(1),
        world(member(0, template_hash="deadbeef", hash_version="0")),
        [],
    ),
]

MACHINES = [
    Row(
        "a cordoned machine: a replacement is made before the pod goes",
        desired(1),
        world(member(0), machines=builders.machines(CORDONED)),
        ["create chat-0-2"],
    ),
    Row(
        "a cordoned machine: the pod leaves when its replacement is ready elsewhere",
        desired(1),
        world(
            member(0, gate=False),
            member(0, 2, machine="m2"),
            on_ring=ring(member(0, 2, machine="m2")),
            machines=builders.machines(CORDONED),
        ),
        ["BeginDrain chat-0-1"],
    ),
    Row(
        "a cordoned machine: a replacement that finds no room would not find it there, and the pod stays",
        desired(1, rollout={"maxSurge": 1, "maxUnavailable": 1}),
        world(
            member(0),
            pending(0, 2, unschedulable="Insufficient nvidia.com/gpu"),
            on_ring=ring(member(0)),
            machines=builders.machines(CORDONED),
        ),
        [],
    ),
    Row(
        "a machine is away: its member is offline, a replacement is made, and its pod is kept for its return",
        desired(1),
        world(member(0, ready=False), machines=builders.machines(AWAY), on_ring=ring(member(0)), reports={}),
        ["publish epoch 4: chat-0-1 Offline", "create chat-0-2", "gate of chat-0-1 closes"],
    ),
    Row(
        "a cordoned machine: a pod that tolerates it, and came later, stays: so would the next one",
        desired(1),
        world(
            member(0),
            loading(0, 2, created_at=NOW - 5, tolerant=True),
            on_ring=ring(member(0)),
            machines=builders.machines(dataclasses.replace(CORDONED, since=NOW - 6)),
        ),
        [],
    ),
    Row(
        "a machine is away: a replacement that tolerates that, and came there, is the last one",
        desired(1),
        world(
            member(0, ready=False, gate=False),
            pending(0, 2, machine="m1", created_at=NOW - 5, tolerant=True),
            machines=builders.machines(dataclasses.replace(AWAY, since=NOW - 6)),
            on_ring=ring(member(0), offline=[0]),
            reports={},
        ),
        [],
    ),
    Row(
        "a machine is away: a replacement that came there before the scheduler knew is replaced, too",
        desired(1),
        world(
            member(0, ready=False, gate=False),
            pending(0, 2, machine="m1", created_at=NOW - 5),
            machines=builders.machines(dataclasses.replace(AWAY, since=NOW - 6)),
            on_ring=ring(member(0), offline=[0]),
            reports={},
        ),
        ["create chat-0-3"],
    ),
    Row(
        "a machine out of service: a pod that tolerates that, and came later, is not ended by force",
        desired(1),
        world(
            pending(0, 2, machine="m1", created_at=NOW - 5, tolerant=True),
            machines=builders.machines(dataclasses.replace(LOST, since=NOW - 6)),
            on_ring=ring(),
            reports={},
        ),
        [],
    ),
    Row(
        "a machine is away: its pod leaves when the replacement is ready",
        desired(1),
        world(
            member(0, ready=False, gate=False),
            member(0, 2, machine="m2"),
            on_ring=ring(member(0, 2, machine="m2")),
            machines=builders.machines(AWAY),
        ),
        ["BeginDrain chat-0-1"],
    ),
    Row(
        "a machine is back before the replacement is ready: the replacement is not needed",
        desired(1),
        world(member(0), pending(0, 2), on_ring=ring(member(0))),
        ["BeginDrain chat-0-2"],
    ),
    Row(
        "a machine is away: a leaving pod on it is not waited for",
        desired(0),
        world(
            member(0, ready=False, gate=False, **DRAINING),
            machines=builders.machines(AWAY),
            on_ring=ring(),
            reports={},
        ),
        ["FinishDrain chat-0-1"],
    ),
    Row(
        "a machine is gone: nobody but us can end its pods",
        desired(1),
        world(
            member(0, ready=False, gate=False, machine="m9"),
            on_ring=ring(member(0), offline=[0]),
            reports={},
            gone=frozenset({"m9"}),
        ),
        ["create chat-0-2", "force-delete chat-0-1"],
    ),
    Row(
        "a machine has not been heard of yet: its pod is like any other",
        desired(1),
        world(member(0, machine="m9")),
        [],
    ),
    Row(
        "a machine out of service: also a terminating pod is ended by force",
        desired(0),
        world(
            member(0, deleting=True, gate=False), machines=builders.machines(LOST), on_ring=ring(), reports={}
        ),
        ["force-delete chat-0-1"],
    ),
]


@pytest.mark.parametrize("row", [*ROLLING, *MACHINES], ids=lambda row: row.sentence)
def test_planner(row: Row) -> None:
    row.check()
