"""What the contestants are asked, and how much arithmetic it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kvring_node.model.config import ModelConfig


@dataclass(frozen=True)
class Request:
    """Token ids in, and how many out."""

    prompt: list[int]
    max_tokens: int


Answers = list[list[int]]


class Unfit(ValueError):
    """Requests that cannot be answered whole, or not even read; the message says why."""


@dataclass(frozen=True)
class Limits:
    """What a model can take: token ids below `vocab_size`, `num_tokens` in prompt and answer together."""

    vocab_size: int
    num_tokens: int

    def fault(self, request: Request) -> str | None:
        """Why the request can never be answered whole."""
        num_in, num_out = len(request.prompt), request.max_tokens
        if not request.prompt:
            return "the prompt has no tokens"
        if min(request.prompt) < 0 or max(request.prompt) >= self.vocab_size:
            return f"token ids must lie between 0 and {self.vocab_size - 1}"
        if num_in + num_out > self.num_tokens:
            return (
                f"{num_in} tokens in and {num_out} out are more than the {self.num_tokens} that the model "
                "and its cache hold"
            )
        return None


def synthetic(
    vocab_size: int, count: int, lengths: tuple[int, int], max_tokens: int, seed: int
) -> list[Request]:
    """Random prompts with lengths spread evenly over `lengths`; the lengths do not depend on the seed."""
    sizes = np.random.default_rng(0).integers(lengths[0], lengths[1] + 1, count)
    rng = np.random.default_rng(seed)
    return [Request(rng.integers(1, vocab_size, size).tolist(), max_tokens) for size in sizes]


def rounds(
    limits: Limits, count: int, lengths: Sequence[int], max_tokens: int, first_seed: int, num_rounds: int
) -> list[list[Request]]:
    """Synthetic requests of `lengths[0]` to `lengths[1]` tokens, new ones in each round.

    Raises:
        Unfit: the longest cannot be answered whole.
    """
    if lengths[0] > lengths[1]:
        raise Unfit(f"prompts of {lengths[0]} to {lengths[1]} tokens: the lesser number goes first")
    if fault := limits.fault(Request([0] * lengths[1], max_tokens)):
        raise Unfit(f"{fault}; ask for shorter prompts or answers")
    return [
        synthetic(limits.vocab_size, count, (lengths[0], lengths[1]), max_tokens, seed)
        for seed in range(first_seed, first_seed + num_rounds)
    ]


def warm_up(limits: Limits) -> list[Request]:
    """Eight short requests that no round has."""
    num_out = min(8, max(1, limits.num_tokens // 2))
    longest = min(64, max(1, limits.num_tokens - num_out))
    return synthetic(limits.vocab_size, 8, (min(16, longest), longest), num_out, seed=10**6)


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
