"""Pages under any order of operations: a state machine that knows who holds what, checked every step."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from kvring_node.pages.pool import PagePool

NUM_PAGES = 8
DIGESTS = st.integers(0, 11).map(lambda number: number.to_bytes(32, "big"))


class PoolMachine(RuleBasedStateMachine):
    """Tables come, grow, share, are sealed and go; the pool must agree with them all the time."""

    tables = Bundle("tables")

    def __init__(self) -> None:
        super().__init__()
        self.pool = PagePool(NUM_PAGES)
        self.held: list[list[int]] = []
        self.contents: dict[int, bytes] = {}

    @rule(target=tables, count=st.integers(0, NUM_PAGES + 1))
    def allocate(self, count: int) -> object:
        if count > self.pool.num_available:
            with pytest.raises(ValueError, match="available"):
                self.pool.allocate(count)
            return multiple()
        pages = self.pool.allocate(count)
        assert len(set(pages)) == count
        for page in pages:
            self.contents.pop(page, None)
        self.held.append(pages)
        return pages

    @rule(target=tables, table=tables)
    def share(self, table: list[int]) -> list[int]:
        self.pool.retain(table)
        copy = list(table)
        self.held.append(copy)
        return copy

    @rule(table=consumes(tables))
    def release(self, table: list[int]) -> None:
        self.pool.release(reversed(table))
        self.held = [other for other in self.held if other is not table]

    @rule(table=tables, digest=DIGESTS)
    def seal(self, table: list[int], digest: bytes) -> None:
        if table:
            known = self.pool.find(digest)
            self.pool.seal(table[0], digest)
            if known is None and table[0] not in self.contents:
                self.contents[table[0]] = digest

    @rule(target=tables, digest=DIGESTS)
    def hit(self, digest: bytes) -> object:
        page = self.pool.find(digest)
        if page is None:
            return multiple()
        assert self.contents[page] == digest, "a page is found only by what it holds"
        self.pool.retain([page])
        table = [page]
        self.held.append(table)
        return table

    @rule()
    def forget(self) -> None:
        self.pool.forget()
        assert all(self.pool.find(digest) is None for digest in self.contents.values())
        self.contents.clear()

    @invariant()
    def pool_agrees_with_the_tables(self) -> None:
        self.pool.check(self.held)
        in_use = {page for table in self.held for page in table}
        assert self.pool.num_used == len(in_use)
        assert self.pool.num_available == NUM_PAGES - len(in_use)


PoolMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase


def test_the_longest_unused_known_page_is_evicted_first_and_unknown_pages_before_all() -> None:
    pool = PagePool(4)
    pages = pool.allocate(4)
    for number, page in enumerate(pages[:3]):
        pool.seal(page, bytes([number]))
    pool.release([pages[1], pages[0], pages[3], pages[2]])
    assert pool.allocate(1) == [pages[3]]
    assert pool.allocate(1) == [pages[1]]
    assert pool.find(bytes([1])) is None
    assert pool.find(bytes([0])) == pages[0]


def test_a_page_that_is_hit_again_becomes_the_last_to_be_evicted() -> None:
    pool = PagePool(2)
    old, new = pool.allocate(2)
    pool.seal(old, b"old")
    pool.seal(new, b"new")
    pool.release([old, new])
    pool.retain([old])
    pool.release([old])
    assert pool.allocate(1) == [new]


@pytest.mark.parametrize(
    ("sentence", "tables"),
    [
        ("a table holds a page that the pool thinks is free", [[0, 1], [2]]),
        ("a page is referenced and in no table", [[0]]),
        ("a page is in more tables than it has references", [[0, 1], [1]]),
    ],
)
def test_check_notices_that(sentence: str, tables: list[list[int]]) -> None:
    pool = PagePool(3)
    assert sorted(pool.allocate(2)) == [0, 1]
    with pytest.raises(AssertionError, match="references equal table entries"):
        pool.check(tables)
