"""The CUDA kernel against the slow twin: compiled where there is a GPU, by Triton's interpreter elsewhere."""

import itertools
import json
import os
import subprocess
import sys

import pytest
import torch

SPANS = {
    "one prompt of several blocks of queries": [(0, 70)],
    "chunks that continue at odd places, and a decoding sequence among them": [(13, 5), (40, 1), (0, 17)],
    "decoding sequences of one token and of many": [(0, 1), (1, 1), (15, 1), (16, 1), (63, 1)],
    "a decoding sequence that several programs share, beside one that needs a single one": [
        (1100, 1),
        (3, 1),
    ],
}
LONGEST = "a context so long that its programs take more than their usual share"
CASES = [*itertools.product(SPANS, range(4)), (LONGEST, 0)]
SPANS[LONGEST] = [(17000, 1), (3, 1)]


@pytest.fixture(scope="module")
def distances() -> dict[tuple[str, int], float]:
    """How far the kernel is from the twin in each case."""
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    answered = subprocess.run(
        [sys.executable, "-m", "tests.support.paged_trial"],
        input=json.dumps([(SPANS[sentence], seed) for sentence, seed in CASES]),
        env=os.environ | interpreted,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(zip(CASES, json.loads(answered.stdout), strict=True))


@pytest.mark.parametrize(("sentence", "seed"), CASES)
def test_equals_the_slow_twin(sentence: str, seed: int, distances: dict[tuple[str, int], float]) -> None:
    assert distances[sentence, seed] < 1e-5
