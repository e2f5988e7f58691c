"""The ring document: what one side writes the other reads, and nothing edited by hand gets through."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvring_contract import ring
from kvring_contract.names import MemberState

names = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=40)
members = st.builds(
    ring.Member,
    slot=st.integers(0, 999),
    pod=names,
    address=st.ip_addresses(v=4).map(str),
    machine=names,
    zone=names,
    state=st.sampled_from(MemberState),
)
rings = st.builds(
    ring.Ring,
    epoch=st.integers(0, 2**40),
    members=st.lists(members, max_size=8, unique_by=lambda m: m.slot).map(tuple),
    virtual_nodes=st.integers(1, 16384),
    replication_factor=st.integers(1, 5),
)


@given(rings)
def test_what_is_written_is_read(value: ring.Ring) -> None:
    assert ring.loads(ring.dumps(value)).checksum == value.checksum
    assert set(ring.loads(ring.dumps(value)).members) == set(value.members)


@given(rings, st.randoms(use_true_random=False))
def test_the_order_of_members_does_not_matter(value: ring.Ring, shuffler) -> None:
    shuffled = list(value.members)
    shuffler.shuffle(shuffled)
    again = ring.Ring(value.epoch, tuple(shuffled), value.virtual_nodes, value.replication_factor)
    assert ring.dumps(again) == ring.dumps(value)


@given(rings, rings)
def test_different_rings_have_different_checksums(one: ring.Ring, other: ring.Ring) -> None:
    same = ring.dumps(one, with_checksum=False) == ring.dumps(other, with_checksum=False)
    assert (one.checksum == other.checksum) == same


EDITED = [
    ("a member's address changed", lambda d: d["members"][0].update(address="10.9.9.9")),
    ("a member removed", lambda d: d["members"].pop()),
    ("the epoch raised", lambda d: d.update(epoch=d["epoch"] + 1)),
    ("a state that does not exist", lambda d: d["members"][0].update(state="Happy")),
    ("members that are no list", lambda d: d.update(members=3)),
    ("members of strings", lambda d: d.update(members=["chat-0-1"])),
    ("no checksum", lambda d: d.pop("checksum")),
    ("an epoch in words", lambda d: d.update(epoch="seven")),
]


@pytest.mark.parametrize(("what", "edit"), EDITED, ids=[row[0] for row in EDITED])
def test_a_document_edited_by_hand_is_refused(what: str, edit) -> None:
    value = ring.Ring(7, (ring.Member(0, "chat-0-1", "10.0.0.1", "m1"),), 256, 1)
    document = json.loads(ring.dumps(value))
    edit(document)
    with pytest.raises(ring.InvalidRing):
        ring.loads(json.dumps(document))


@pytest.mark.parametrize("text", ["", "null", "[]", "7", '"ring"', "{"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ring.InvalidRing):
        ring.loads(text)
