from hypothesis import given
from hypothesis import strategies as st

from kvring_contract import ring as rings
from kvring_contract import wire
from kvring_node import membership

PUSHES = st.builds(
    lambda fencing, epoch, slots: wire.PushRing(
        fencing, rings.Ring(epoch, tuple(rings.Member(s, f"p{s}", "10.0.0.1", "vm") for s in slots), 8, 1)
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.lists(st.integers(0, 1), unique=True, max_size=2),
)


def offer(held: membership.Held, push: wire.PushRing) -> membership.Held:
    try:
        return membership.take(held, push)
    except membership.Fenced:
        return held


@given(st.lists(PUSHES, max_size=12))
def test_fencing_never_falls_and_under_one_leader_the_epoch_never_falls(pushes: list[wire.PushRing]) -> None:
    held = membership.Held()
    for push in pushes:
        before, held = held, offer(held, push)
        assert (held.fencing, held.epoch) >= (before.fencing, before.epoch) or held.fencing > before.fencing
        if (held.fencing, held.epoch) == (before.fencing, before.epoch):
            assert held.checksum == before.checksum


@given(st.lists(PUSHES, min_size=1, max_size=6))
def test_taking_a_push_twice_is_taking_it_once(pushes: list[wire.PushRing]) -> None:
    held = membership.Held()
    for push in pushes:
        held = offer(held, push)
    assert offer(offer(held, pushes[-1]), pushes[-1]) == offer(held, pushes[-1])


@given(st.lists(PUSHES, max_size=6), st.integers(-1, 4))
def test_a_drain_is_heard_exactly_from_leaders_that_are_not_behind(
    pushes: list[wire.PushRing], fencing: int
) -> None:
    held = membership.Held()
    for push in pushes:
        held = offer(held, push)
    try:
        heard = membership.fence(held, fencing)
    except membership.Fenced:
        assert fencing < held.fencing
    else:
        assert heard == membership.Held(fencing, held.ring)
        assert fencing >= held.fencing
