"""Tokens that must not come, and what counts more when nothing else would be left."""

import pytest
import torch
from tests.support.sampling_law import Case

from kvring_node.sampling import masks

ROWS = [
    ("nothing is forbidden", Case(""), {0, 1, 2, 3, 4}),
    ("a ban", Case("", banned=frozenset({1, 3})), {0, 2, 4}),
    ("a ban of tokens that are not there", Case("", banned=frozenset({-2, 5, 10**12})), {0, 1, 2, 3, 4}),
    ("a ban of all there are is none", Case("", banned=frozenset(range(5))), {0, 1, 2, 3, 4}),
    ("a form", Case("", allowed=(0, 4)), {0, 4}),
    ("a ban within a form", Case("", allowed=(0, 4), banned=frozenset({4})), {0}),
    ("a complete form ends, however early", Case("", allowed=(4,), banned=frozenset({4})), {4}),
]


@pytest.mark.parametrize(("sentence", "case", "left"), ROWS, ids=[row[0] for row in ROWS])
def test_what_is_left(sentence: str, case: Case, left: set[int]) -> None:
    logits = torch.zeros(3, 5, dtype=torch.float64)
    plain = Case("").draw(0, 0, 5)
    masks.apply(logits, [plain, case.draw(0, 0, 5), plain])
    assert set(torch.isfinite(logits[1]).nonzero()[:, 0].tolist()) == left, sentence
    assert torch.isfinite(logits[[0, 2]]).all()
