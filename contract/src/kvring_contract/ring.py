"""The ring as a value: who belongs to a pool at one epoch.

The document in the ConfigMap `<cluster>-ring`, the body that the operator pushes and the value that
a node holds are one and the same; `checksum` lets any two of them be compared in a line of a log.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract.names import MemberState

MOST_EPOCH = 2**53 - 1
"""No ring turns so often; a higher number is a fault, and would not survive JSON."""


@dataclass(frozen=True, order=True)
class Member:
    """One place on the ring: a stable slot, and the pod that fills it now."""

    slot: int
    pod: str
    address: str
    machine: str
    zone: str = ""
    state: MemberState = MemberState.ACTIVE


@dataclass(frozen=True)
class Ring:
    """An immutable membership: two rings with the same epoch and checksum are the same ring."""

    epoch: int
    members: tuple[Member, ...]
    virtual_nodes: int
    replication_factor: int

    @functools.cached_property
    def checksum(self) -> str:
        """First 16 hex digits of SHA-256 over the canonical document; independent of the members' order."""
        return hashlib.sha256(dumps(self, with_checksum=False).encode()).hexdigest()[:16]

    @functools.cached_property
    def active_pods(self) -> frozenset[str]:
        """Names of the pods that serve for their slots."""
        return frozenset(member.pod for member in self.members if member.state is MemberState.ACTIVE)


class InvalidRing(ValueError):
    """The document is not a ring, or its checksum does not fit its content."""


def dumps(ring: Ring, *, with_checksum: bool = True) -> str:
    """Canonical JSON: members sorted by slot, keys sorted, no blanks."""
    document: dict[str, Any] = {
        "epoch": ring.epoch,
        "members": [vars(member) for member in sorted(ring.members)],
        "replicationFactor": ring.replication_factor,
        "virtualNodes": ring.virtual_nodes,
    }
    if with_checksum:
        document["checksum"] = ring.checksum
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def loads(text: str | bytes) -> Ring:
    """Parse a ring document and verify its checksum; raises `InvalidRing`."""
    try:
        document = json.loads(text)
        ring = Ring(
            epoch=int(document["epoch"]),
            members=tuple(sorted(_member(entry) for entry in document["members"])),
            virtual_nodes=int(document["virtualNodes"]),
            replication_factor=int(document["replicationFactor"]),
        )
        stated = document["checksum"]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidRing(f"not a ring document: {error!r}") from error
    if not 0 <= ring.epoch <= MOST_EPOCH:
        raise InvalidRing(f"epoch {ring.epoch} is none that a ring has")
    if stated != ring.checksum:
        raise InvalidRing(f"checksum {stated} does not fit the content ({ring.checksum})")
    return ring


def _member(entry: Mapping[str, Any]) -> Member:
    return Member(
        slot=int(entry["slot"]),
        pod=str(entry["pod"]),
        address=str(entry["address"]),
        machine=str(entry["machine"]),
        zone=str(entry.get("zone", "")),
        state=MemberState(entry["state"]),
    )
