"""Page tables: gives sequences their pages and takes them back."""

from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.sequence import Sequence


class PageTables:
    """The scheduler's view of memory. A sequence holds pages for all its known tokens, or none."""

    def __init__(self, pool: PagePool, prefix: PrefixIndex, page_tokens: int):
        self._pool = pool
        self._prefix = prefix
        self._page_tokens = page_tokens

    def admit(self, sequence: Sequence) -> bool:
        """Gives pages for all its tokens, shared ones for a prefix computed before; or changes nothing."""
        hit = self._prefix.match(sequence)
        self._pool.retain(hit)  # first, or the allocation below might evict them
        num_missing = self._num_pages(len(sequence.token_ids)) - len(hit)
        if num_missing > self._pool.num_available:
            self._pool.release(reversed(hit))
            return False
        sequence.pages = hit + self._pool.allocate(num_missing)
        sequence.num_sealed = len(hit)
        sequence.num_computed = len(hit) * self._page_tokens
        if sequence.num_cached_tokens is None:
            sequence.num_cached_tokens = sequence.num_computed
            self._prefix.count(sequence, sequence.num_computed)
        return True

    def grow(self, sequence: Sequence) -> bool:
        """Gives pages for tokens that became known since; or changes nothing."""
        num_missing = self._num_pages(len(sequence.token_ids)) - len(sequence.pages)
        if num_missing > 0:
            if num_missing > self._pool.num_available:
                return False
            sequence.pages += self._pool.allocate(num_missing)
        return True

    def seal(self, sequence: Sequence) -> None:
        """Lets others find the pages that `sequence` has filled."""
        self._prefix.seal(sequence)

    def release(self, sequence: Sequence) -> None:
        """Takes all pages back; what was computed is lost, unless its page is found again by its digest."""
        self._pool.release(reversed(sequence.pages))
        sequence.pages = []
        sequence.num_sealed = 0
        sequence.num_computed = 0

    def _num_pages(self, num_tokens: int) -> int:
        return -(-num_tokens // self._page_tokens)
