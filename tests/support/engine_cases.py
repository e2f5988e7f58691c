"""Random cases for the comparison of the engine with `generate` of transformers: functions of a seed."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tests.support import tiny_models

from kvring_node import assembly
from kvring_node.engine.completions import Completion
from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}

LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0, 1.1, 1.2, 1.5, 2.0, 2.5],
    "long_factor": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0],
}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-biased-tied": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama-3-rope": ("llama", {"rope_parameters": LLAMA3_ROPE, "num_key_value_heads": 4}),
    "llama-linear-rope": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}},
    ),
    "mistral": ("mistral", {"sliding_window": 24}),
    "mistral-without-window": ("mistral", {"sliding_window": None, "tie_word_embeddings": True}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-upper-layer-slides": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    ),
    "qwen2-yarn": ("qwen2", {"rope_parameters": YARN_ROPE}),
    "qwen3": ("qwen3", {}),
    "qwen3-tied-one-kv-head": ("qwen3", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "phi3": ("phi3", {"sliding_window": 40}),
    "phi3-partial-rotation": ("phi3", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    "phi3-longrope": ("phi3", {"rope_parameters": LONG_ROPE}),
    "gemma": ("gemma", {"num_key_value_heads": 1}),
}
"""Kind and what its config says differently from `tiny_models.COMMON`."""


@dataclass(frozen=True)
class Case:
    """What to ask of which engine."""

    model: str
    page_tokens: int
    num_pages: int
    max_batch_tokens: int
    max_num_sequences: int
    prompts: tuple[tuple[int, ...], ...]
    max_tokens: int

    def engine(self, folder: Path) -> Engine:
        """An engine of this shape for the model in `folder`."""
        overrides = {**tiny_models.COMMON, **MODELS[self.model][1]}
        slot = 2 * overrides["num_key_value_heads"] * overrides["head_dim"] * 4
        return assembly.load_engine(
            folder,
            page_tokens=self.page_tokens,
            kv_bytes=self.num_pages * self.page_tokens * overrides["num_hidden_layers"] * slot,
            max_batch_tokens=self.max_batch_tokens,
            max_num_sequences=self.max_num_sequences,
        )


def make(seed: int) -> Case:
    """Lengths around page edges, shared prefixes, chunks, and in some cases too few pages for all at once."""
    rng = random.Random(seed)
    page_tokens = rng.choice([8, 16, 32])
    shared = [rng.randrange(tiny_models.EOS) for _ in range(3 * page_tokens)]
    prompts = []
    for _ in range(rng.randint(1, 5)):
        prefix = shared[: rng.choice([0, 0, page_tokens, 2 * page_tokens + 1, 3 * page_tokens])]
        own = max(1, rng.choice([1, 2, 3]) * page_tokens + rng.choice([-1, 0, 1, 5]) - len(prefix))
        prompts.append((*prefix, *(rng.randrange(tiny_models.EOS) for _ in range(own))))
    max_tokens = rng.randint(1, 2 * page_tokens)
    longest = max(map(len, prompts)) + max_tokens
    enough = -(-longest // page_tokens) + rng.choice([0, 1, 3, 20])
    return Case(
        model=rng.choice(sorted(MODELS)),
        page_tokens=page_tokens,
        num_pages=enough,
        max_batch_tokens=rng.choice([5, page_tokens, 3 * page_tokens + 1, 2048]),
        max_num_sequences=rng.choice([1, 2, 8]),
        prompts=tuple(prompts),
        max_tokens=max_tokens,
    )


def ours(case: Case, engine: Engine) -> list[Completion]:
    """All prompts at once, and then the first again, which finds pages of its first run."""
    params = SamplingParams(max_tokens=case.max_tokens, temperature=0)
    prompts = [list(prompt) for prompt in case.prompts]
    return engine.generate(prompts, params) + engine.generate(prompts[:1], params)


def theirs(case: Case, model: transformers.PreTrainedModel) -> list[list[int]]:
    """Each prompt alone."""
    answers = []
    for prompt in case.prompts:
        ids = torch.tensor([prompt])
        output = model.generate(  # type: ignore[operator]  # transformers hides its type

            ids, attention_mask=torch.ones_like(ids), max_new_tokens=case.max_tokens, do_sample=False,
            pad_token_id=tiny_models.EOS,
        )  # fmt: skip
        answers.append(output[0, len(prompt) :].tolist())
    return [*answers, answers[0]]
