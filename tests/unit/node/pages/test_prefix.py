"""Prefix index and page tables: only full, computed pages are found, and by their whole history."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from kvring_node.messages import SamplingParams
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.pages.table import PageTables
from kvring_node.sequence import Sequence

PAGE_TOKENS = 4
TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=30)


@dataclass(frozen=True)
class Memory:
    pool: PagePool
    prefix: PrefixIndex
    tables: PageTables


def memory(num_pages: int = 32, root: bytes = b"root") -> Memory:
    pool = PagePool(num_pages)
    prefix = PrefixIndex(pool, root, PAGE_TOKENS)
    return Memory(pool, prefix, PageTables(pool, prefix, PAGE_TOKENS))


def sequence(token_ids: list[int]) -> Sequence:
    return Sequence("s", list(token_ids), len(token_ids), SamplingParams(), 100, frozenset(), 0)


def computed(mem: Memory, token_ids: list[int], num_computed: int | None = None) -> Sequence:
    """A sequence that was admitted and has computed some of its tokens, all by default."""
    admitted = sequence(token_ids)
    assert mem.tables.admit(admitted)
    num_computed = len(token_ids) if num_computed is None else num_computed
    mem.tables.seal(admitted, num_computed - admitted.num_computed)
    admitted.num_computed = num_computed
    return admitted


@given(first=TOKENS, second=TOKENS)
def test_a_hit_is_the_longest_common_prefix_in_full_pages_but_for_the_last_token(
    first: list[int], second: list[int]
) -> None:
    mem = memory()
    computed(mem, first)
    common = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    later = sequence(second)
    assert mem.tables.admit(later)
    assert later.num_computed == min(common, len(second) - 1) // PAGE_TOKENS * PAGE_TOKENS
    assert later.num_cached_tokens == later.num_computed


def test_a_page_is_not_found_before_it_is_computed() -> None:
    mem = memory()
    computed(mem, [1] * 8, num_computed=7)
    assert len(mem.prefix.match(sequence([1] * 8 + [2]))) == 1


def test_equal_tokens_after_different_pasts_do_not_meet() -> None:
    mem = memory()
    computed(mem, [1] * 4 + [2] * 4)
    assert mem.prefix.match(sequence([3] * 4 + [2] * 4 + [0])) == []


def test_pools_of_different_fingerprints_do_not_meet() -> None:
    one, other = memory(root=b"one"), memory(root=b"other")
    first, second = computed(one, [1] * 4), computed(other, [1] * 4)
    assert first.digests != second.digests


def test_a_refused_admission_changes_nothing() -> None:
    mem = memory(num_pages=3)
    held = computed(mem, [1] * 8)
    later = sequence([1] * 8 + [2] * 8)
    assert not mem.tables.admit(later)
    assert (later.pages, later.num_computed, later.num_cached_tokens) == ([], 0, None)
    mem.pool.check([held.pages])


def test_the_pages_of_a_hit_are_not_evicted_to_make_room_for_its_own_tail() -> None:
    mem = memory(num_pages=4)
    mem.tables.release(computed(mem, [1] * 8))
    later = sequence([1] * 8 + [2] * 8)
    assert mem.tables.admit(later)
    assert later.num_computed == 8
    assert len(set(later.pages)) == 4


def test_a_preempted_sequence_finds_its_own_pages_again() -> None:
    mem = memory()
    preempted = computed(mem, [1] * 10)
    mem.tables.release(preempted)
    assert mem.tables.admit(preempted)
    assert preempted.num_computed == 8
    assert preempted.num_cached_tokens == 0, "what it computed itself is no hit of its request"


def test_the_tail_of_a_released_table_is_evicted_before_its_beginning() -> None:
    mem = memory(num_pages=4)
    mem.tables.release(computed(mem, [1] * 16))
    mem.pool.allocate(3)
    assert len(mem.prefix.match(sequence([1] * 17))) == 1
