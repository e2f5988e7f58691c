"""The CUDA kernel compiles to machine code for GPUs, as the engine calls it; no GPU is needed for that."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.support.paged_compiled import Case, Compiled

AMPERE, HOPPER = 80, 90
PREFILL = ((0, 70), (5, 3))
DECODING = ((40, 1), (3, 1))
LONG = ((600, 1), (3, 1))
CASES = {
    f"sm_{capability} {dtype} head {head_dim} {step}{' window' if window else ''}": Case(
        capability, dtype, head_dim, spans, window
    )
    for capability, dtype, head_dim, (step, spans), window in itertools.product(
        (AMPERE, HOPPER),
        ("bfloat16", "float16", "float32"),
        (64, 80, 128, 256),
        (("prefill", PREFILL), ("decoding", DECODING), ("long contexts", LONG)),
        (None, 33),
    )
}
FEW = [
    "sm_80 float16 head 80 long contexts window",
    "sm_80 bfloat16 head 256 prefill",
    "sm_80 float32 head 64 decoding",
    "sm_90 bfloat16 head 128 prefill window",
    "sm_90 bfloat16 head 128 long contexts",
    "sm_90 float32 head 64 decoding window",
]
MORE = [
    name
    for name, case in CASES.items()
    if case.capability == HOPPER and (case.window is not None) == (case.head_dim == 128)
]
"""All of them take three minutes, a second each."""
SHARED_BYTES = {"bfloat16": 99 << 10, "float16": 99 << 10, "float32": 163 << 10}
"""What a program may take on every GPU since Ampere; in float32, wide heads want one of its large ones.

CUDA's programming guide, "Technical Specifications per Compute Capability": 163 KiB for 8.0, 227 for 9.0, 99
for 8.6, 8.9 and 12.0.
"""


def compiled(cases: list[Case], cache: Path) -> list[Compiled]:
    """What Triton makes of them, in a cache of its own."""
    answered = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.paged_compiled"],
        input=json.dumps([asdict(case) for case in cases]),
        env={name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
        | {"TRITON_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Compiled(**one) for one in json.loads(answered.stdout)]


def narrow_uses(ttir: str) -> Iterator[str]:
    """Lines that reckon in 32 bits with what has no small bound.

    Sizes of the batch and of the pool are widened before anything else, and offsets of 32 bits are those of
    a thing within its row or its block's four numbers.
    """
    made_by = dict(re.findall(r"^ *(%\w+) = (.*)$", ttir, re.MULTILINE))
    for name, made in made_by.items():
        line = f"{name} = {made}"
        if re.search(r"%num_(slots|tokens)\b", made) and not made.startswith("arith.extsi"):
            yield line
        if not made.startswith("tt.addptr"):
            continue
        pointer, offset = re.findall(r"%\w+", made)[:2]
        if re.search(r"i32>?( loc.*)?$", made) and not _is_small(pointer, offset, made_by):
            yield line


def _is_small(pointer: str, offset: str, made_by: dict[str, str]) -> bool:
    while made_by.get(offset, "").startswith(("tt.broadcast", "tt.expand_dims")):
        offset = re.findall(r"%\w+", made_by[offset])[0]
    while made_by.get(pointer, "").startswith("tt.addptr"):
        pointer = re.findall(r"%\w+", made_by[pointer])[0]
    return pointer == "%blocks" or made_by.get(offset, "").startswith("tt.make_range")


def fits(case: Case, kernel: Compiled) -> None:
    """Machine code that small GPUs can load and large pools do not overflow."""
    assert kernel.cubin_bytes > 0
    assert kernel.shared_bytes <= SHARED_BYTES[case.dtype]
    assert not list(narrow_uses(kernel.ttir))


def test_compiles_for_some(tmp_path: Path) -> None:
    cases = [CASES[name] for name in FEW]
    for case, kernel in zip(cases, compiled(cases, tmp_path), strict=True):
        fits(case, kernel)


@pytest.mark.slow
def test_compiles_for_more(tmp_path: Path) -> None:
    cases = [CASES[name] for name in MORE]
    for case, kernel in zip(cases, compiled(cases, tmp_path), strict=True):
        fits(case, kernel)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("%at = arith.muli %head, %num_slots : i32", id="a product with the pool's size"),
        pytest.param("%at = arith.addi %num_tokens, %c1_i32 : i32", id="a sum with the batch's size"),
        pytest.param("%at = tt.addptr %layer, %slot : !tt.ptr<bf16>, i32", id="an offset that was loaded"),
    ],
)
def test_sees_what_would_overflow(line: str) -> None:
    assert list(narrow_uses(f"    %slot = tt.load %pages : !tt.ptr<i32>\n    {line} loc(#loc1)\n"))
