"""Page keys: the chain as the paper says it, and the same in every process."""

import hashlib
import struct
import subprocess
import sys
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kvring_contract import fingerprint, keys

ROOT = fingerprint.Fingerprint("m", "main", "float32", 4, "lkhtd").root
tokens = st.lists(st.integers(0, 2**32 - 1), max_size=40)


def slow_chain(root: bytes, ids: list[int], page_tokens: int) -> list[bytes]:
    """The definition, written out: the slow twin."""
    digests, parent = [], root
    for page in range(len(ids) // page_tokens):
        part = ids[page * page_tokens : (page + 1) * page_tokens]
        parent = hashlib.sha256(parent + b"".join(struct.pack("<I", i) for i in part)).digest()
        digests.append(parent)
    return digests


@given(tokens, st.sampled_from([1, 4, 16]))
def test_the_chain_is_the_definition(ids: list[int], page_tokens: int) -> None:
    assert keys.page_digests(ROOT, ids, page_tokens) == slow_chain(ROOT, ids, page_tokens)


@given(tokens, st.integers(0, 10), st.sampled_from([1, 4, 16]))
def test_a_chain_can_be_continued_from_any_page(ids: list[int], num_first: int, page_tokens: int) -> None:
    whole = keys.page_digests(ROOT, ids, page_tokens)
    first = keys.page_digests(ROOT, ids[: num_first * page_tokens], page_tokens)
    parent = first[-1] if first else ROOT
    assert first + keys.page_digests(parent, ids[num_first * page_tokens :], page_tokens) == whole


@given(tokens, tokens)
def test_digests_agree_exactly_as_far_as_the_prompts_do(one: list[int], other: list[int]) -> None:
    pairs = zip(keys.page_digests(ROOT, one, 4), keys.page_digests(ROOT, other, 4), strict=False)
    for page, (left, right) in enumerate(pairs):
        assert (left == right) == (one[: 4 * page + 4] == other[: 4 * page + 4])


def test_another_fingerprint_shares_no_page() -> None:
    base = fingerprint.Fingerprint("m", "main", "float32", 4, "lkhtd")
    prints = [
        base,
        replace(base, model="n"),
        replace(base, revision="v2"),
        replace(base, dtype="bfloat16"),
        replace(base, page_tokens=8),
        replace(base, layout="lkthd"),
        replace(base, salt="t"),
    ]
    roots = {f.root for f in prints}
    assert len(roots) == len(prints)
    assert len({keys.page_digests(root, [1, 2, 3, 4], 4)[0] for root in roots}) == len(prints)


def test_digests_do_not_depend_on_the_hash_seed() -> None:
    """LMCache #2136: pods with different PYTHONHASHSEED never hit each other's pages, without an error."""
    program = (
        "from kvring_contract import fingerprint as f, keys;"
        "print(keys.page_digests(f.Fingerprint('m','r','d',4,'l').root, [1,2,3,4], 4)[0].hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
