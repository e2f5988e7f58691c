"""All pages: free, held, or kept for a later hit.

A page is free (content worthless), held (referenced by tables), or evictable (held by nobody, content known
by its digest). Freed tails go first: tables are released back to front, and the least recently released
known page is evicted first, so a prefix outlives its continuations (vLLM's block pool does the same).
"""

from collections import OrderedDict
from collections.abc import Iterable

from kvring_contract.keys import Digest


class PagePool:
    """Counts references to `num_pages` pages, numbered from 0."""

    def __init__(self, num_pages: int):
        self.num_pages = num_pages
        self._references = [0] * num_pages
        self._free = list(range(num_pages - 1, -1, -1))
        self._evictable: OrderedDict[int, Digest] = OrderedDict()
        self._digest_of: list[Digest | None] = [None] * num_pages
        self._page_of: dict[Digest, int] = {}
        self.num_saved = 0
        """References beyond the first of each page: so many more pages would be needed without sharing."""

    @property
    def num_available(self) -> int:
        """Pages that `allocate` can give: free and evictable ones."""
        return len(self._free) + len(self._evictable)

    @property
    def num_used(self) -> int:
        """Pages that somebody holds."""
        return self.num_pages - self.num_available

    @property
    def num_cached(self) -> int:
        """Pages that nobody holds and that a later prompt may hit."""
        return len(self._evictable)

    def allocate(self, count: int) -> list[int]:
        """Gives `count` pages with one reference each, evicting the longest unused ones if it must.

        Raises:
            ValueError: fewer than `count` pages are available; ask `num_available` first.
        """
        if count > self.num_available:
            raise ValueError(f"{count} pages asked for, {self.num_available} available")
        free, references = self._free, self._references
        self._evict(count - len(free))
        first = len(free) - count
        pages = free[first:]
        del free[first:]
        pages.reverse()
        for page in pages:
            references[page] = 1
        return pages

    def retain(self, pages: Iterable[int]) -> None:
        """Adds a reference to each page; evictable ones are held again."""
        for page in pages:
            if self._references[page] == 0:
                del self._evictable[page]
            else:
                self.num_saved += 1
            self._references[page] += 1

    def release(self, pages: Iterable[int]) -> None:
        """Takes a reference from each page. Give a table back to front, so that its tail is evicted first."""
        references, digest_of = self._references, self._digest_of
        for page in pages:
            references[page] -= 1
            if references[page]:
                self.num_saved -= 1
            elif (digest := digest_of[page]) is None:
                self._free.append(page)
            else:
                self._evictable[page] = digest

    def is_shared(self, page: int) -> bool:
        """Whether several tables hold this page: nobody may write to it."""
        return self._references[page] > 1

    def seal(self, page: int, digest: Digest) -> None:
        """Makes a full, computed page known by its digest; a second one of the same content stays unknown."""
        if digest not in self._page_of and self._digest_of[page] is None:
            self._page_of[digest] = page
            self._digest_of[page] = digest

    def find(self, digest: Digest) -> int | None:
        """The page of this digest; retain it before anything else is allocated."""
        return self._page_of.get(digest)

    def digest(self, page: int) -> Digest | None:
        """What this page is known by."""
        return self._digest_of[page]

    def forget(self) -> None:
        """Makes every page unknown; those that nobody holds become free."""
        self._free += self._evictable
        self._evictable.clear()
        self._digest_of = [None] * self.num_pages
        self._page_of.clear()

    def check(self, tables: Iterable[Iterable[int]]) -> None:
        """Verifies every invariant against the page tables in use.

        Raises:
            AssertionError: naming the invariant that is broken.
        """
        held = [0] * self.num_pages
        for table in tables:
            for page in table:
                held[page] += 1
        hold(held == self._references, "references equal table entries")
        hold(sum(count - 1 for count in held if count) == self.num_saved, "saved pages are counted")
        free, evictable = set(self._free), set(self._evictable)
        known = {page for page, digest in enumerate(self._digest_of) if digest is not None}
        hold(len(free) == len(self._free), "no page is free twice")
        hold(free.isdisjoint(evictable), "no page is free and evictable")
        hold(
            free | evictable == {page for page in range(self.num_pages) if not held[page]},
            "all pages are somewhere",
        )
        hold(free.isdisjoint(known), "a free page has no digest")
        hold(evictable <= known, "an evictable page has a digest")
        hold({self._digest_of[page]: page for page in known} == self._page_of, "digests and pages agree")

    def _evict(self, count: int) -> None:
        for _ in range(count):
            page, digest = self._evictable.popitem(last=False)
            del self._page_of[digest]
            self._digest_of[page] = None
            self._free.append(page)


def hold(condition: bool, invariant: str) -> None:
    """An invariant of pages and tables, checked.

    Raises:
        AssertionError: it does not hold.
    """
    if not condition:
        raise AssertionError(f"pages broken: {invariant}")
