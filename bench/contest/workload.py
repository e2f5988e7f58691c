"""What the contestants are asked, and how much arithmetic it takes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvring_node.model.config import ModelConfig


@dataclass(frozen=True)
class Request:
    """Token ids in, and how many out."""

    prompt: list[int]
    max_tokens: int


Answers = list[list[int]]


def synthetic(
    vocab_size: int, count: int, lengths: tuple[int, int], max_tokens: int, seed: int
) -> list[Request]:
    """Random prompts with lengths spread evenly over `lengths`; the lengths do not depend on the seed."""
    sizes = np.random.default_rng(0).integers(lengths[0], lengths[1] + 1, count)
    rng = np.random.default_rng(seed)
    return [Request(rng.integers(1, vocab_size, size).tolist(), max_tokens) for size in sizes]


def read(path: Path, encode: Callable[[str], list[int]]) -> list[Request]:
    """One request a line."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [
        Request(encode(row["prompt"]) if isinstance(row["prompt"], str) else row["prompt"], row["max_tokens"])
        for row in rows
    ]


def flops(config: ModelConfig, requests: Sequence[Request]) -> int:
    """Multiplications and additions that no engine gets around, windows apart.

    Every token but an answer's last goes through all layers; what the last layer does after its attention,
    and the head, only tokens that are followed by a new one need.
    """
    hidden, heads = config.hidden_size, config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    into, out_of = hidden * (heads + 2 * keys), heads * hidden + 3 * hidden * config.intermediate_size
    layers = config.num_layers
    total = 0
    for request in requests:
        computed = len(request.prompt) + request.max_tokens - 1
        total += 2 * computed * (layers * into + (layers - 1) * out_of)
        total += 2 * request.max_tokens * (out_of + config.vocab_size * hidden)
        total += layers * 4 * heads * computed * (computed + 1) // 2
    return total
