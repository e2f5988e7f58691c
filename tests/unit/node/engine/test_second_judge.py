"""CTranslate2, which shares no code with torch, judges the families that it knows.

Left out, because it has them not, or otherwise than transformers: scaled ropes but the linear one, windows,
Qwen2 (a vocabulary that is not padded is refused), Phi-3's fused tensors, Gemma.
"""

import json
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import tiny_models
from tests.support.greedy_trial import Models

from kvring_node import assembly
from kvring_node.messages import SamplingParams

QUICK = "llama"
SLOW = (
    "llama-biased-tied",
    "llama-linear-rope",
    "mistral-without-window",
    "qwen3",
    "qwen3-tied-one-kv-head",
)
NEAR = 1e-4

prompts = st.lists(
    st.lists(st.integers(0, tiny_models.EOS - 1), min_size=1, max_size=60), min_size=1, max_size=4
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    torch.set_num_threads(1)
    return Models(tmp_path_factory.mktemp("models"))


def convert(folder: Path, into: Path) -> Any:
    TransformersConverter(str(folder)).convert(str(into))
    config = into / "config.json"
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|end|>")  # it insists on having them
    config.write_text(json.dumps(json.loads(config.read_text()) | names))
    return ctranslate2.Generator(str(into), device="cpu", compute_type="float32", intra_threads=1)


@pytest.mark.parametrize("variant", [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_greedy_tokens_are_the_likeliest_for_ctranslate2_too(
    variant: str, models: Models, tmp_path: Path
) -> None:
    judge = convert(models[variant].folder, tmp_path / "converted")
    engine = assembly.load_engine(models[variant].folder, dtype="float32", device="cpu", kv_bytes=1 << 20)
    params = SamplingParams(max_tokens=12, temperature=0, ignore_eos=True)

    @settings(max_examples=10, deadline=None)
    @given(prompts)
    def check(asked: list[list[int]]) -> None:
        for prompt, completion in zip(asked, engine.generate(asked, params), strict=True):
            known = [*prompt, *completion.token_ids[:-1]]
            logits = np.array(judge.forward_batch([known]))[0, len(prompt) - 1 :]
            taken = logits[np.arange(len(logits)), completion.token_ids]
            assert (logits.max(-1) - taken).max() < NEAR

    check()
