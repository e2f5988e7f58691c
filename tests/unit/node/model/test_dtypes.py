"""In half the bits every family computes about as exactly as transformers does."""

import copy

import pytest
import torch
from tests.support.greedy_trial import Models

from kvring_node import loading
from kvring_node.batch import Batch, Draw
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import SamplingParams
from kvring_node.model import config as model_config
from kvring_node.runner import TorchRunner

TOKEN_IDS = torch.randint(0, 299, (60,), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    torch.set_num_threads(1)
    return Models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("variant", ["llama", "mistral", "qwen2-tied", "qwen3", "phi3", "gemma"])
def test_rounding_costs_no_more_than_in_transformers(
    variant: str, dtype: torch.dtype, models: Models
) -> None:
    saved = models[variant]
    options = EngineOptions(
        model=str(saved.folder), dtype=str(dtype).removeprefix("torch."), device="cpu", kv_bytes=1 << 20
    )
    loaded = loading.load(options, model_config.read(saved.folder))
    assert isinstance(loaded.runner, TorchRunner)
    draws = [Draw(row, SamplingParams(temperature=0), 0, 0) for row in range(len(TOKEN_IDS))]
    with torch.inference_mode():
        ours = loaded.runner.logits(Batch(TOKEN_IDS.tolist(), [0], [len(TOKEN_IDS)], [[3, 1, 0, 2]], draws))
        exact = saved.model(TOKEN_IDS[None]).logits[0]
        rounded = copy.deepcopy(saved.model).to(dtype)  # type: ignore[arg-type]  # wrapped, its type is lost
        theirs = rounded(TOKEN_IDS[None]).logits[0].float()
    error, their_error = ((logits - exact).square().mean().sqrt() for logits in (ours, theirs))
    assert 0 < error < 1.5 * their_error
