"""Greedy float32 tokens equal those of transformers, whatever becomes of pages, chunks and batches."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import transformers
from tests.support import engine_cases, tiny_models

from kvring_node import loading
from kvring_node.batch import Batch, Draw
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import SamplingParams
from kvring_node.model import config as model_config
from kvring_node.runner import TorchRunner

NUM_CASES = 200
NUM_QUICK = 40
"""How many of them run on every `make verify`; the others are marked slow."""


@dataclass(frozen=True)
class Saved:
    folder: Path
    model: transformers.PreTrainedModel


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    torch.set_num_threads(1)
    models = {}
    for name, (kind, overrides) in engine_cases.MODELS.items():
        folder = tmp_path_factory.mktemp(name)
        models[name] = Saved(folder, tiny_models.make(kind, folder, **overrides))
    return models


@pytest.mark.parametrize(
    "seed",
    [*range(NUM_QUICK), *(pytest.param(i, marks=pytest.mark.slow) for i in range(NUM_QUICK, NUM_CASES))],
)
def test_greedy_tokens_equal_generate(seed: int, saved: dict[str, Saved]) -> None:
    case = engine_cases.make(seed)
    engine = case.engine(saved[case.model].folder)
    got = [completion.token_ids for completion in engine_cases.ours(case, engine)]
    want = engine_cases.theirs(case, saved[case.model].model)
    assert got == want, f"{case}\nalone: pytest {__file__}::test_greedy_tokens_equal_generate[{seed}]"
    engine.check()
    assert engine.stats().num_pages_used == 0


def test_the_cases_meet_what_they_are_for(saved: dict[str, Saved]) -> None:
    num_preempting = num_hitting = 0
    for seed in range(NUM_QUICK):
        case = engine_cases.make(seed)
        engine = case.engine(saved[case.model].folder)
        engine_cases.ours(case, engine)
        num_preempting += engine.stats().num_preemptions > 0
        num_hitting += engine.stats().prefix_hits_tokens > 0
    assert num_preempting >= 5
    assert num_hitting >= 10


@pytest.mark.parametrize("name", sorted(engine_cases.MODELS))
def test_logits_equal_those_of_transformers(name: str, saved: dict[str, Saved]) -> None:
    token_ids = torch.randint(0, 299, (77,), generator=torch.Generator().manual_seed(1)).tolist()
    folder = saved[name].folder
    loaded = loading.load(EngineOptions(model=str(folder), kv_bytes=1 << 20), model_config.read(folder))
    assert isinstance(loaded.runner, TorchRunner)
    draws = [Draw(row, SamplingParams(temperature=0), 0, 0) for row in range(len(token_ids))]
    with torch.inference_mode():
        got = loaded.runner.logits(Batch(token_ids, [0], [len(token_ids)], [[4, 2, 0, 1, 3]], draws))
        want = saved[name].model(torch.tensor([token_ids])).logits[0]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
