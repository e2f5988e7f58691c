"""Page tables: gives sequences their pages and takes them back."""

from collections.abc import Iterable

from kvring_node.pages.pool import PagePool, hold
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.sequence import Sequence


class PageTables:
    """The scheduler's view of memory. A sequence holds pages for all its known tokens, or none.

    Forks share every page. Only the last, partial one is ever written again, and whoever writes to it while
    others hold it gets a copy first.
    """

    def __init__(self, pool: PagePool, prefix: PrefixIndex, page_tokens: int):
        self._pool = pool
        self._prefix = prefix
        self._page_tokens = page_tokens
        self._copies: list[tuple[int, int]] = []
        self.num_copies = 0

    def admit(self, sequence: Sequence) -> bool:
        """Gives pages for all its tokens, shared ones for a prefix computed before; or changes nothing."""
        hit = [] if sequence.scores_prompt else self._prefix.match(sequence)
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
        """Makes room for all its known tokens, in pages that nobody else holds; or changes nothing."""
        pages, position = sequence.pages, sequence.num_computed // self._page_tokens
        num_missing = self._num_pages(len(sequence.token_ids)) - len(pages)
        writes_shared = position < len(pages) and self._pool.is_shared(pages[position])
        if num_missing + writes_shared <= 0:
            return True
        if num_missing + writes_shared > self._pool.num_available:
            return False
        if writes_shared:
            self._copy_on_write(pages, position)
        pages += self._pool.allocate(num_missing)
        return True

    def fork(self, sequence: Sequence, sibling: Sequence) -> None:
        """Lets a sibling of the same prompt start from the pages of `sequence`, without computing any."""
        self._pool.retain(sequence.pages)
        sibling.pages = list(sequence.pages)
        sibling.digests = list(sequence.digests)
        sibling.num_sealed = sequence.num_sealed
        sibling.num_computed = sequence.num_computed
        sibling.num_cached_tokens = sequence.num_cached_tokens

    def take_copies(self) -> list[tuple[int, int]]:
        """Pages to copy before the next step writes anything: from, to."""
        copies, self._copies = self._copies, []
        return copies

    def seal(self, sequence: Sequence, num_tokens: int) -> None:
        """Lets others find the pages that `sequence` fills with the `num_tokens` of the step being made.

        Others may share them in this very step, as in vLLM v1: in every layer all keys and values are
        written before any are read. So equal prompts that arrive together are computed once.
        """
        self._prefix.seal(sequence, sequence.num_computed + num_tokens)

    def forget(self) -> None:
        """Lets nobody find a page of now; whoever holds one keeps it."""
        self._pool.forget()

    def release(self, sequence: Sequence) -> None:
        """Takes all pages back; what was computed is lost, unless its page is found again by its digest."""
        if self._copies:  # of a step that it was about to take part in
            self._copies = [(source, copy) for source, copy in self._copies if copy not in sequence.pages]
        self._pool.release(reversed(sequence.pages))
        sequence.pages = []
        sequence.num_sealed = 0
        sequence.num_computed = 0

    def check(self, sequences: Iterable[Sequence]) -> None:
        """Verifies, between two steps, every invariant of pages and of the tables of all `sequences`.

        Raises:
            AssertionError: naming the invariant that is broken.
        """
        sequences = list(sequences)
        self._pool.check(sequence.pages for sequence in sequences)
        hold(not self._copies, "no copy is still to be made")
        held: dict[int, object] = {}
        for sequence in sequences:
            pages, contents = sequence.pages, self._prefix.contents(sequence)
            hold(len(set(pages)) == len(pages), "no table holds a page twice")
            hold(len(contents) == len(pages), "computed tokens have pages")
            for page, content in zip(pages, contents, strict=True):
                hold(
                    held.setdefault(page, content) == content, "who shares a page has computed the same in it"
                )
                hold(self._pool.digest(page) in (None, content), "a page is known by what it holds")

    def _copy_on_write(self, pages: list[int], position: int) -> None:
        (copy,) = self._pool.allocate(1)
        self._copies.append((pages[position], copy))
        self._pool.release([pages[position]])
        pages[position] = copy
        self.num_copies += 1

    def _num_pages(self, num_tokens: int) -> int:
        return -(-num_tokens // self._page_tokens)
