"""Keys of cached pages: a SHA-256 chain over packed token ids.

A page is named by everything before it: `digest(i) = SHA-256(digest(i-1) || tokens of page i as
32-bit little-endian integers)`, and the chain of a pool starts from its fingerprint. Whole SHA-256, never
Python's `hash()` nor a 64-bit one: a collision would hand one user's memory to another (vLLM #54727, LMCache
#2136).
"""

import hashlib
import struct
from collections.abc import Sequence

Digest = bytes
"""32 bytes; equal digests mean equal tokens from the start of the prompt, in equally configured pods."""

TOKEN_BYTES = 4


def page_digests(parent: Digest, tokens: Sequence[int], page_tokens: int) -> list[Digest]:
    """Digests of the full pages of `tokens`, in order; a last partial page has none.

    Packing all tokens at once, and not page by page, halves the cost: what is left is mostly hashlib's own.

    Args:
        parent: digest of the page before the first, or the chain's root.
        tokens: token ids below 2^32.
        page_tokens: tokens in a page.
    """
    packed = struct.pack(f"<{len(tokens)}I", *tokens)
    page_bytes = page_tokens * TOKEN_BYTES
    digests = []
    for start in range(0, len(packed) - page_bytes + 1, page_bytes):
        parent = hashlib.sha256(parent + packed[start : start + page_bytes]).digest()
        digests.append(parent)
    return digests
