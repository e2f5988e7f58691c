"""What this pod holds of the ring, and the law by which it takes a newer one or refuses.

A push carries the fencing number of the operator that sent it. A lower number is an operator that has
lost its leadership and does not know yet. Under one number the epoch never goes back; a new leader may
set it anew.
"""

import dataclasses
from dataclasses import dataclass

from kvring_contract import ring as rings
from kvring_contract import wire


class Fenced(Exception):
    """The message comes too late; the sender must look again at what is held."""


@dataclass(frozen=True)
class Held:
    """The newest fencing number seen and the ring that came with it; -1 and None before the first."""

    fencing: int = -1
    ring: rings.Ring | None = None

    @property
    def epoch(self) -> int:
        """Epoch of the ring, -1 without one."""
        return self.ring.epoch if self.ring else -1

    @property
    def checksum(self) -> str:
        """Checksum of the ring, empty without one."""
        return self.ring.checksum if self.ring else ""


def fence(held: Held, fencing: int) -> Held:
    """What is held after hearing from the operator with this number; raises `Fenced`."""
    if fencing < held.fencing:
        raise Fenced(f"fencing {fencing} is behind {held.fencing}")
    return dataclasses.replace(held, fencing=fencing)


def take(held: Held, push: wire.PushRing) -> Held:
    """What is held after a push; raises `Fenced`. The same push twice is welcome."""
    fenced = fence(held, push.fencing)
    if push.fencing == held.fencing and held.ring:
        if push.ring.epoch < held.epoch:
            raise Fenced(f"epoch {push.ring.epoch} is behind {held.epoch} under fencing {held.fencing}")
        if push.ring.epoch == held.epoch and push.ring.checksum != held.checksum:
            raise Fenced(f"epoch {held.epoch} is held with other content under fencing {held.fencing}")
    return dataclasses.replace(fenced, ring=push.ring)
