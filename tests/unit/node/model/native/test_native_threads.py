"""The kernels' threads: the result is the same with any number of them, and for callers who come at once."""

import threading

import pytest
import torch
from tests.support import variants_here

from kvring_node.model.native.library import Library
from kvring_node.model.native.parts import NativeParts

LIBRARIES = variants_here.libraries()
NUM_CALLS = 300

every_variant = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.variant)


@every_variant
@pytest.mark.parametrize("num_threads", [2, 5, 16])
def test_short_loops_one_after_the_other_lose_no_task(library: Library, num_threads: int) -> None:
    part = NativeParts(library, 16, 4, 2, 32).linear(torch.randn(300, 8), None)
    hidden = torch.randn(30, 8)
    library.use_threads(1)
    want = part(hidden)
    library.use_threads(num_threads)
    try:
        for _ in range(NUM_CALLS):
            assert torch.equal(part(hidden), want)
    finally:
        library.use_threads(1)


@every_variant
def test_callers_who_come_at_once_do_not_meet(library: Library) -> None:
    part = NativeParts(library, 16, 4, 2, 32).linear(torch.randn(300, 64), None)
    inputs = [torch.randn(rows, 64) for rows in (5, 40, 130)]
    library.use_threads(1)
    want = [part(hidden) for hidden in inputs]
    library.use_threads(3)
    wrong: list[int] = []

    def call(index: int) -> None:
        answers = (part(inputs[index]) for _ in range(NUM_CALLS))
        wrong.extend(index for answer in answers if not torch.equal(answer, want[index]))

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(inputs))]
    try:
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    finally:
        library.use_threads(1)
    assert not wrong
