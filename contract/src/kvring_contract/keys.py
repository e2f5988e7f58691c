"""Keys of cached pages: a SHA-256 chain over packed token ids.

A page is named by everything before it: `digest(i) = SHA-256(digest(i-1) || tokens of page i as
32-bit integers)`, and the chain of a pool starts from its fingerprint. Whole SHA-256, never Python's `hash()`
nor a 64-bit one: a collision would hand one user's memory to another (vLLM #54727, LMCache #2136).
"""

import hashlib
from array import array
from collections.abc import Iterator, Sequence

Digest = bytes
"""32 bytes; equal digests mean equal tokens from the start of the prompt, in equally configured pods."""


def page_digest(parent: Digest, tokens: Sequence[int]) -> Digest:
    """Digest of one full page after `parent` (the previous page's digest, or the chain's root)."""
    packed = array("I", tokens)
    return hashlib.sha256(parent + packed.tobytes()).digest()


def page_digests(root: Digest, tokens: Sequence[int], page_tokens: int) -> Iterator[Digest]:
    """Digests of the full pages of `tokens`, in order; a last partial page has none."""
    parent = root
    for start in range(0, len(tokens) - page_tokens + 1, page_tokens):
        parent = page_digest(parent, tokens[start : start + page_tokens])
        yield parent
