"""What two pods must agree on before they may share a page."""

import hashlib
import json
from dataclasses import asdict, dataclass

from kvring_contract.keys import Digest


@dataclass(frozen=True)
class Fingerprint:
    """Everything that changes the bytes of a page, and the salt that keeps tenants apart.

    `model` is the digest of the model's config and weights' index, not its name: two folders with one
    name may differ.
    """

    model: str
    revision: str
    dtype: str
    page_tokens: int
    layout: str
    salt: str = ""

    @property
    def root(self) -> Digest:
        """32 bytes from which every chain of page digests starts."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).digest()

    @property
    def short(self) -> str:
        """12 hex digits for reports and logs."""
        return self.root.hex()[:12]
