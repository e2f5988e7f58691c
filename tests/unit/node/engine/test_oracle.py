"""Greedy float32 tokens equal those of transformers, whatever becomes of pages, chunks and batches.

`python -m tests.campaigns.oracle` runs as many such cases as one likes.
"""

from collections import Counter

import pytest
import torch
from tests.support import greedy_trial
from tests.support.greedy_trial import Models
from tests.support.variants import VARIANTS

from kvring_node import loading
from kvring_node.batch import Batch, Draw
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import SamplingParams
from kvring_node.model import config as model_config
from kvring_node.runner import TorchRunner

NUM_CASES = 200
NUM_QUICK = 40
"""How many of them run on every `make verify`; the others are marked slow."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    torch.set_num_threads(1)
    return Models(tmp_path_factory.mktemp("models"))


def test_greedy_answers_equal_those_of_generate(models: Models) -> None:
    counts: Counter[str] = Counter()
    for seed in range(NUM_QUICK):
        counts += greedy_trial.run(seed, models).counts
    wanted = {
        "stopped early": 10,
        "cancelled": 3,
        "with preemption": 5,
        "with prefix hits": 10,
        "with copied pages": 5,
        "with coalescing": 3,
    }
    assert all(counts[what] >= num for what, num in wanted.items()), counts


@pytest.mark.slow
@pytest.mark.parametrize("first", range(NUM_QUICK, NUM_CASES, 20))
def test_more_greedy_answers_equal_those_of_generate(first: int, models: Models) -> None:
    for seed in range(first, first + 20):
        greedy_trial.run(seed, models)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_logits_equal_those_of_transformers(variant: str, models: Models) -> None:
    token_ids = torch.randint(0, 299, (77,), generator=torch.Generator().manual_seed(1)).tolist()
    saved = models[variant]
    options = EngineOptions(model=str(saved.folder), dtype="float32", device="cpu", kv_bytes=1 << 20)
    loaded = loading.load(options, model_config.read(saved.folder))
    assert isinstance(loaded.runner, TorchRunner)
    draws = [Draw(row, SamplingParams(temperature=0), 0, 0) for row in range(len(token_ids))]
    with torch.inference_mode():
        got = loaded.runner.logits(Batch(token_ids, [0], [len(token_ids)], [[4, 2, 0, 1, 3]], draws))
        want = saved.model(torch.tensor([token_ids])).logits[0]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
