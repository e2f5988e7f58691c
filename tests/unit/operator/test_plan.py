"""The planner as a table: a pool that grows, is healed, and goes. Each row is a sentence."""

import dataclasses
from typing import get_args

import pytest
from tests.support import builders
from tests.support.builders import NOW, desired, loading, member, pending, ring, world
from tests.support.plan_rows import DRAINED, DRAINING, Row, busy, words

from kvring_operator import actions, plan
from kvring_operator.act import Hands
from kvring_operator.world import Container, Phase, World

GOING = builders.body(2, deleted=True)


def bare(**changes: object) -> World:
    """Nothing but the resource."""
    return dataclasses.replace(
        world(),
        children={},
        ring=None,
        key_present=False,
        status={},
        reports={},
        **changes,  # type: ignore[arg-type]  # fields of World
    )


GROWTH = [
    Row(
        "a new resource gets its foundations before its pods",
        desired(2),
        dataclasses.replace(bare(), metadata=dataclasses.replace(world().metadata, finalizers=())),
        [
            "AddFinalizer",
            "MakeKey",
            "apply Service chat",
            "apply Service chat-members",
            "apply PodDisruptionBudget chat",
            "publish epoch 1: nobody",
            "create chat-0-1",
            "create chat-1-1",
        ],
    ),
    Row("a settled pool needs nothing", desired(2), world(member(0), member(1)), []),
    Row("a pool of none needs nothing", desired(0), world(on_ring=ring()), []),
    Row(
        "scaling up fills the lowest free slots",
        desired(3),
        world(member(1)),
        ["create chat-0-1", "create chat-2-1"],
    ),
    Row(
        "a pod that has loaded its model joins the ring, and hears of it after the ConfigMap is written",
        desired(2),
        world(member(0), loading(1, container=builders.READY), on_ring=ring(member(0))),
        [
            "publish epoch 4: chat-0-1 Active chat-1-1 Active",
            "push epoch 4 to chat-0-1",
            "push epoch 4 to chat-1-1",
        ],
    ),
    Row(
        "a pod that has not loaded its model is waited for",
        desired(2),
        world(member(0), loading(1), on_ring=ring(member(0))),
        [],
    ),
    Row(
        "the gate opens when the member holds the ring",
        desired(1),
        world(member(0, gate=False, ready=False), on_ring=ring(member(0))),
        ["gate of chat-0-1 opens"],
    ),
    Row(
        "the gate stays shut while the member holds an older ring",
        desired(1),
        world(
            member(0, gate=False, ready=False),
            on_ring=ring(member(0)),
            reports={"chat-0-1": builders.report(member(0), ring(member(0), epoch=2))},
        ),
        ["push epoch 3 to chat-0-1"],
    ),
]

HEALING = [
    Row(
        "a deleted pod is replaced in its slot, which stays on the ring as offline",
        desired(2),
        world(member(0), on_ring=ring(member(0), member(1, 4))),
        ["publish epoch 4: chat-0-1 Active chat-1-4 Offline", "create chat-1-5", "push epoch 4 to chat-0-1"],
    ),
    Row(
        "a pod that somebody is deleting is replaced without waiting for its end",
        desired(1),
        world(member(0, deleting=True), on_ring=ring(member(0))),
        ["publish epoch 4: chat-0-1 Offline", "create chat-0-2", "gate of chat-0-1 closes"],
    ),
    Row(
        "a pod that the kubelet gave up is removed and replaced",
        desired(1),
        world(pending(0, phase=Phase.FAILED, reason="Evicted"), on_ring=ring()),
        ["create chat-0-2", "delete chat-0-1"],
    ),
    Row(
        "a pod that was given up a moment ago is not replaced in a tight loop",
        desired(1),
        world(pending(0, phase=Phase.FAILED, created_at=NOW - 2), on_ring=ring()),
        [],
    ),
    Row(
        "a pod that was given up a moment ago keeps no other slot waiting",
        desired(2),
        world(pending(0, phase=Phase.FAILED, created_at=NOW - 2), on_ring=ring()),
        ["create chat-1-1"],
    ),
    Row(
        "a pod that was evicted after a long life is replaced at once, though another one rests",
        desired(2),
        world(
            pending(0, phase=Phase.FAILED, created_at=NOW - 2),
            pending(1, phase=Phase.FAILED, reason="Evicted"),
            on_ring=ring(),
        ),
        ["create chat-1-2", "delete chat-1-1"],
    ),
    Row(
        "a pod whose labels were changed gets them back",
        desired(1),
        world(
            dataclasses.replace(member(0), labels={"ring": "serving", "slot": "7", "rank": "0"}),
            on_ring=ring(member(0)),
        ),
        ["relabel chat-0-1 kvring.dev/cluster kvring.dev/incarnation kvring.dev/slot"],
    ),
    Row(
        "a crashed member stays on the ring as offline, and its pod is left to the kubelet",
        desired(1),
        world(
            loading(0, gate=True, container=Container(waiting="CrashLoopBackOff", restarts=2)),
            on_ring=ring(member(0)),
            reports={},
        ),
        ["publish epoch 4: chat-0-1 Offline", "gate of chat-0-1 closes"],
    ),
    Row(
        "a ConfigMap that was deleted comes back with a higher epoch when the members changed meanwhile",
        desired(1),
        dataclasses.replace(
            world(member(0), of=builders.body(1)), ring=None, children={}, status={"ring": {"epoch": 7}}
        ),
        [
            "apply Service chat",
            "apply Service chat-members",
            "apply PodDisruptionBudget chat",
            "publish epoch 8: chat-0-1 Active",
            "push epoch 8 to chat-0-1",
        ],
    ),
    Row(
        "a node that holds an epoch from the future is outrun",
        desired(1),
        world(member(0), reports={"chat-0-1": builders.report(member(0), ring(member(0), epoch=9))}),
        ["publish epoch 10: chat-0-1 Active", "push epoch 10 to chat-0-1"],
    ),
]

FAREWELL = [
    Row(
        "a deleted resource sends its members away and makes nothing",
        desired(2, deleted=True),
        world(member(0), of=GOING, children={}, key_present=False),
        ["BeginDrain chat-0-1", "gate of chat-0-1 closes"],
    ),
    Row(
        "a deleted resource waits for its members' requests",
        desired(2, deleted=True),
        busy(world(member(0, **DRAINING, gate=False), on_ring=ring(), of=GOING), "chat-0-1", 1),
        [],
    ),
    Row(
        "a deleted resource whose key is gone does not wait for nodes that it cannot ask",
        desired(2, deleted=True),
        world(member(0, **DRAINING, gate=False), of=GOING, key_present=False, reports={}, on_ring=ring()),
        ["FinishDrain chat-0-1"],
    ),
    Row(
        "a deleted resource is let go when its last pod is terminating",
        desired(2, deleted=True),
        world(member(0, **DRAINED, deleting=True), of=GOING, on_ring=ring()),
        ["RemoveFinalizer"],
    ),
    Row(
        "a deleted resource without pods is let go",
        desired(2, deleted=True),
        world(of=GOING, on_ring=ring()),
        ["RemoveFinalizer"],
    ),
]


@pytest.mark.parametrize("row", [*GROWTH, *HEALING, *FAREWELL], ids=lambda row: row.sentence)
def test_planner(row: Row) -> None:
    row.check()


def test_a_deletion_ends_at_its_deadline_whatever_is_left() -> None:
    stuck = busy(world(member(0, **DRAINING, gate=False), on_ring=ring(), of=GOING), "chat-0-1", 1)

    made = plan.make(desired(2, deleted=True, drain={"onTimeout": "Block"}), stuck, NOW + 181)

    assert "RemoveFinalizer" in words(made)


def test_every_action_says_why() -> None:
    rows = [*GROWTH, *HEALING, *FAREWELL]

    assert all(action.reason for row in rows for action in plan.make(row.desired, row.world, NOW).actions)


def test_every_action_has_a_doer() -> None:
    told_to_nodes = {actions.PushRing, actions.AskDrain}

    assert set(get_args(actions.Action)) == set(Hands._DOERS) | told_to_nodes
