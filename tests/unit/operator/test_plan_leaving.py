"""The planner as a table: members that leave. Each row is a sentence."""

import dataclasses
from collections import Counter
from typing import Any

import pytest
from tests.support import builders
from tests.support.builders import NOW, desired, loading, member, pending, ring, world
from tests.support.plan_rows import DRAINED, DRAINING, Row, busy

from kvring_operator import plan

LEAVING = [
    Row(
        "scaling down sends away the youngest of the ready",
        desired(1),
        world(member(0), member(1, created_at=NOW - 60)),
        [
            "publish epoch 4: chat-0-1 Active",
            "BeginDrain chat-1-1",
            "gate of chat-1-1 closes",
            "push epoch 4 to chat-0-1",
        ],
    ),
    Row(
        "scaling down sends away one that is not ready first, and never a ready one for it",
        desired(1),
        world(loading(0), member(1, created_at=NOW - 60), on_ring=ring(member(1))),
        ["BeginDrain chat-0-1"],
    ),
    Row(
        "a leaving pod is out of the ring and not ready before anything else happens to it",
        desired(1),
        world(member(0), member(1, **DRAINING), on_ring=ring(member(0), member(1)), reports={}),
        ["publish epoch 4: chat-0-1 Active", "gate of chat-1-1 closes", "push epoch 4 to chat-0-1"],
    ),
    Row(
        "a leaving node is told to take no new work",
        desired(1),
        busy(
            world(member(0), member(1, **DRAINING, gate=False), on_ring=ring(member(0))),
            "chat-1-1",
            2,
            draining=False,
        ),
        ["AskDrain chat-1-1"],
    ),
    Row(
        "a leaving node with running requests is waited for",
        desired(1),
        busy(world(member(0), member(1, **DRAINING, gate=False), on_ring=ring(member(0))), "chat-1-1", 2),
        [],
    ),
    Row(
        "a leaving node that is idle has drained once the others know the new ring",
        desired(1),
        world(member(0), member(1, **DRAINING, gate=False), on_ring=ring(member(0))),
        ["FinishDrain chat-1-1"],
    ),
    Row(
        "an idle leaving node stays while another member does not know the new ring",
        desired(1),
        world(
            member(0),
            member(1, **DRAINING, gate=False),
            on_ring=ring(member(0)),
            reports={
                "chat-0-1": builders.report(member(0), ring(member(0), epoch=2)),
                "chat-1-1": builders.report(member(1, **DRAINING), ring(member(0))),
            },
        ),
        ["push epoch 3 to chat-0-1"],
    ),
    Row(
        "when drain.timeout is over a leaving node goes with its requests",
        desired(1, drain={"timeout": "3s"}),
        busy(world(member(0), member(1, **DRAINING, gate=False), on_ring=ring(member(0))), "chat-1-1", 2),
        ["FinishDrain chat-1-1"],
    ),
    Row(
        "unless onTimeout says Block",
        desired(1, drain={"timeout": "3s", "onTimeout": "Block"}),
        busy(world(member(0), member(1, **DRAINING, gate=False), on_ring=ring(member(0))), "chat-1-1", 2),
        [],
    ),
    Row(
        "a drained pod is deleted",
        desired(1),
        world(member(0), member(1, **DRAINED), on_ring=ring(member(0))),
        ["delete chat-1-1"],
    ),
    Row(
        "a pod that never ran leaves at once",
        desired(0),
        world(pending(0, ring="draining", draining_since=NOW), on_ring=ring()),
        ["FinishDrain chat-0-1"],
    ),
    Row(
        "a slot whose pod is leaving gets a new one when the pool grows again",
        desired(2),
        world(member(0), member(1, **DRAINING, gate=False), on_ring=ring(member(0))),
        ["create chat-1-2", "FinishDrain chat-1-1"],
    ),
]


@pytest.mark.parametrize("row", [*LEAVING], ids=lambda row: row.sentence)
def test_planner(row: Row) -> None:
    row.check()


class Counted(dict[str, Any]):
    """Counts how often each report is looked at."""

    def __init__(self, reports: Any) -> None:
        super().__init__(reports)
        self.looks: Counter[str] = Counter()

    def get(self, name: str, default: Any = None) -> Any:
        self.looks[name] += 1
        return super().get(name, default)


def test_planning_looks_at_each_member_a_few_times_however_many_leave() -> None:
    """Scaling 1000 to 500 once took eleven seconds a plan: longer than a Lease lasts."""
    staying, going = (
        [member(slot) for slot in range(50)],
        [member(slot, **DRAINING) for slot in range(50, 100)],
    )
    found = world(*staying, *going)
    reports = Counted(found.reports)

    plan.make(desired(50), dataclasses.replace(found, reports=reports), NOW)

    assert max(reports.looks.values()) < 10
