"""When to look again: never at once, whatever a pool looks like, or an unchanged pool would be a hot loop."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from tests.support import builders
from tests.support.builders import NOW, READY, desired, member, ring, world

from kvring_contract.names import RingLabel
from kvring_operator import plan
from kvring_operator.world import Container, Machine, Phase, Pod

PODS = st.builds(
    lambda slot, changes: member(slot, **changes),
    st.integers(0, 3),
    st.fixed_dictionaries(
        {},
        optional={
            "created_at": st.sampled_from([NOW, NOW - 5, NOW - 61, NOW - 9999, NOW + 60]),
            "ring": st.sampled_from([*map(str, RingLabel), "spoiled"]),
            "draining_since": st.sampled_from([None, NOW, NOW - 2.5, NOW - 3, NOW - 9999, NOW + 60]),
            "container": st.sampled_from([READY, Container(running=True), Container()]),
            "phase": st.sampled_from(Phase),
            "ready": st.booleans(),
            "gate": st.booleans(),
            "deleting": st.booleans(),
            "machine": st.sampled_from(["", "m1", "m2", "gone"]),
        },
    ),
)
DRAINS = st.fixed_dictionaries(
    {"timeout": st.sampled_from(["3s", "1h"]), "onTimeout": st.sampled_from(["Delete", "Block"])}
)


@given(st.lists(PODS, max_size=4, unique_by=lambda pod: pod.slot), DRAINS, st.integers(0, 3), st.booleans())
def test_nobody_looks_again_before_a_poll_is_due(
    pods: list[Pod], drain: dict[str, str], replicas: int, deleted: bool
) -> None:
    body = builders.body(replicas, deleted=deleted)
    found = world(
        *pods, of=body, machines=builders.machines(Machine("m2", ready=False)), gone=frozenset({"gone"})
    )
    busy = {name: dataclasses.replace(said, num_running=1) for name, said in found.reports.items()}

    made = plan.make(
        desired(replicas, deleted=deleted, drain=drain), dataclasses.replace(found, reports=busy), NOW
    )

    assert made.wait_s is None or made.wait_s >= plan.POLL_S


def test_the_end_of_a_drain_is_not_slept_through() -> None:
    leaving = member(0, ring="draining", draining_since=NOW, gate=False)
    found = world(leaving, on_ring=ring())
    busy = {leaving.name: builders.report(leaving, ring(), num_running=1)}

    made = plan.make(desired(0), dataclasses.replace(found, reports=busy), NOW + 119)

    assert made.wait_s is not None
    assert made.wait_s <= 1
