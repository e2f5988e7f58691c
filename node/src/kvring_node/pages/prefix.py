"""Prefix index: finds pages that another sequence has computed already."""

from kvring_contract import keys
from kvring_contract.keys import Digest
from kvring_node.pages.pool import PagePool
from kvring_node.sequence import Sequence


class PrefixIndex:
    """Names pages by the chain of their digests, rooted in the pool's fingerprint.

    Only full pages have a name, and only from the step on that fills them.
    """

    def __init__(self, pool: PagePool, root: Digest, page_tokens: int):
        self._pool = pool
        self._root = root
        self._page_tokens = page_tokens
        self.queries_tokens = 0
        self.hits_tokens = 0

    def match(self, sequence: Sequence) -> list[int]:
        """Longest run of known pages from the start of `sequence`, leaving at least one token to compute.

        The last token must be computed again even on a full hit: the next one is drawn from its logits.
        """
        limit = (len(sequence.token_ids) - 1) // self._page_tokens
        self._chain(sequence, limit)
        pages: list[int] = []
        for digest in sequence.digests[:limit]:
            page = self._pool.find(digest)
            if page is None:
                break
            pages.append(page)
        return pages

    def count(self, sequence: Sequence, num_hit: int) -> None:
        """Adds one admitted sequence, of which `num_hit` tokens were found, to the running totals."""
        self.queries_tokens += len(sequence.token_ids)
        self.hits_tokens += num_hit

    def seal(self, sequence: Sequence, num_tokens: int) -> None:
        """Makes the pages findable that the first `num_tokens` tokens of `sequence` fill."""
        num_full = num_tokens // self._page_tokens
        if num_full == sequence.num_sealed:
            return
        self._chain(sequence, num_full)
        for position in range(sequence.num_sealed, num_full):
            self._pool.seal(sequence.pages[position], sequence.digests[position])
        sequence.num_sealed = num_full

    def contents(self, sequence: Sequence) -> list[object]:
        """What each page of `sequence` must hold: its digest when full, else what it has of a page.

        Computed anew from the tokens. Pages without a computed token hold nothing that equals anything.
        """
        size, tokens = self._page_tokens, sequence.token_ids[: sequence.num_computed]
        found: list[object] = [*keys.page_digests(self._root, tokens, size)]
        if len(tokens) % size:
            found.append((found[-1] if found else self._root, tokens[len(found) * size :]))
        return found + [object() for _ in sequence.pages[len(found) :]]

    def _chain(self, sequence: Sequence, num_pages: int) -> None:
        digests, size = sequence.digests, self._page_tokens
        if len(digests) < num_pages:
            parent = digests[-1] if digests else self._root
            tokens = sequence.token_ids[len(digests) * size : num_pages * size]
            digests += keys.page_digests(parent, tokens, size)
