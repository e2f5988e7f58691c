"""How long a text may be: what the config allows, what was wished for, what the pages hold."""

import logging
from pathlib import Path

import pytest
import torch
from tests.support import tiny_models
from tests.support.variants import LONG_ROPE

from kvring_node import assembly, loading
from kvring_node.batch import Batch, Draw
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import SamplingParams
from kvring_node.model import config as model_config
from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.runner import TorchRunner

LONGEST = tiny_models.COMMON["max_position_embeddings"]
PAGE_BYTES = 2 * 2 * 2 * 16 * 16 * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("llama")
    tiny_models.llama(made)
    return made


def test_a_cpu_holds_the_models_own_length_without_being_told(folder: Path) -> None:
    loaded = assembly.load_engine(folder, device="cpu").loaded
    assert loaded.max_model_len == LONGEST
    assert loaded.page_bytes == PAGE_BYTES


@pytest.mark.parametrize(
    ("sentence", "free_bytes", "num_pages"),
    [
        ("a quarter of what is free", 160 * PAGE_BYTES, 40),
        ("all that the most sequences can use", 1 << 40, 2 * LONGEST // 16),
        ("one page at least", 0, 1),
    ],
)
def test_a_cpus_pages_are(sentence: str, free_bytes: int, num_pages: int, folder: Path) -> None:
    options = EngineOptions(model=str(folder), device="cpu", max_num_sequences=2)
    loaded = loading.load(options, model_config.read(folder), lambda: free_bytes)
    assert loaded.num_pages == num_pages, sentence


def test_too_few_pages_for_the_models_length_are_told_with_what_would_do(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        engine = assembly.load_engine(folder, device="cpu", kv_bytes=10 * PAGE_BYTES)
    assert engine.loaded.max_model_len == 160
    assert [record.getMessage() for record in caplog.records] == [
        "serving 160 tokens of the model's 512: raise --cache-bytes to 1Mi"
    ]


def test_enough_pages_are_no_news(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assembly.load_engine(folder, device="cpu", kv_bytes=32 * PAGE_BYTES)
    assert not caplog.records


def test_pages_that_no_machine_has_room_for_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="cannot be had; give the cache less memory") as told:
        assembly.load_engine(folder, device="cpu", kv_bytes=1 << 50)
    assert told.value.reason is ModelFault.NO_MEMORY


def test_a_length_that_was_wished_for_and_does_not_fit_the_pages_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"160 tokens.* --cache-bytes.* 1Mi.* 160") as caught:
        assembly.load_engine(folder, device="cpu", kv_bytes=10 * PAGE_BYTES, max_model_len=200)
    assert caught.value.reason == ModelFault.NO_MEMORY
    fits = assembly.load_engine(folder, device="cpu", kv_bytes=10 * PAGE_BYTES, max_model_len=160)
    assert fits.loaded.max_model_len == 160


def test_a_length_beyond_the_models_is_refused_with_its_limit(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"513.* 512 tokens") as caught:
        assembly.load_engine(folder, device="cpu", max_model_len=513)
    assert caught.value.reason == ModelFault.UNSUPPORTED_FEATURE


@pytest.mark.parametrize(
    ("sentence", "num_pages", "max_model_len", "num_tokens"),
    [
        ("the pages hold no more than the original length", 4, None, 60),
        ("no more is wished for", 32, 64, 60),
        ("more is served", 32, None, 80),
    ],
)
def test_a_long_rope_follows_the_length_that_is_served(
    sentence: str,
    num_pages: int,
    max_model_len: int | None,
    num_tokens: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """transformers takes the short factors for a text within the original length, else the long ones."""
    model = tiny_models.make("phi3", tmp_path, rope_parameters=LONG_ROPE, original_max_position_embeddings=64)
    options = EngineOptions(
        model=str(tmp_path), device="cpu", kv_bytes=num_pages * PAGE_BYTES, max_model_len=max_model_len
    )
    loaded = loading.load(options, model_config.read(tmp_path))
    assert ("so it is here with --max-model-len 64" in caplog.text) == (loaded.max_model_len > 64)
    assert isinstance(loaded.runner, TorchRunner)
    token_ids = torch.randint(0, 299, (num_tokens,), generator=torch.Generator().manual_seed(1)).tolist()
    draws = [Draw(row, SamplingParams(temperature=0), 0, 0) for row in range(num_tokens)]
    pages = list(range(-(-num_tokens // 16)))
    with torch.inference_mode():
        got = loaded.runner.logits(Batch(token_ids, [0], [num_tokens], [pages], draws))
        want = model(torch.tensor([token_ids])).logits[0]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4, msg=sentence)
