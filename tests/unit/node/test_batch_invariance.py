"""Batch-invariant logits: bitwise the same alone, in chunks, after a prefix hit, and beside anybody."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.support import tiny_models

from kvring_node import loading
from kvring_node.batch import Batch, Draw
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import SamplingParams
from kvring_node.model import config
from kvring_node.model.native import library
from kvring_node.runner import TorchRunner

NUM_TOKENS = 60
GREEDY = SamplingParams(temperature=0)
PAGES = list(range(8))

Look = Callable[[TorchRunner, list[int]], torch.Tensor]


def own_draws(first_row: int, count: int) -> list[Draw]:
    return [Draw(first_row + i, GREEDY, seed=0, number=0) for i in range(count)]


def in_chunks(*sizes: int) -> Look:
    def look(runner: TorchRunner, tokens: list[int]) -> torch.Tensor:
        found, computed = [], 0
        for size in sizes:
            chunk = tokens[computed : computed + size]
            found.append(runner.logits(Batch(chunk, [computed], [size], [PAGES], own_draws(0, size))))
            computed += size
        return torch.cat(found)

    return look


def beside_others(num_before: int, num_after: int, num_hit: int) -> Look:
    """In one batch with others of random lengths; the first `num_hit` tokens were computed alone."""

    def look(runner: TorchRunner, tokens: list[int]) -> torch.Tensor:
        rng = random.Random(num_before + num_after)
        before = [rng.randrange(1, 20) for _ in range(num_before)]
        after = [rng.randrange(1, 20) for _ in range(num_after)]
        first = in_chunks(num_hit)(runner, tokens) if num_hit else torch.empty(0, tiny_models.VOCAB_SIZE)
        lengths = [*before, NUM_TOKENS - num_hit, *after]
        computed = [0] * len(lengths)
        computed[num_before] = num_hit
        others = [[8 + 3 * i, 9 + 3 * i, 10 + 3 * i] for i in range(len(lengths))]
        tables = [*others[:num_before], PAGES, *others[num_before + 1 :]]
        filled = [[rng.randrange(200) for _ in range(length)] for length in lengths]
        filled[num_before] = tokens[num_hit:]
        flat = list(itertools.chain.from_iterable(filled))
        draws = own_draws(sum(before), NUM_TOKENS - num_hit)
        return torch.cat((first, runner.logits(Batch(flat, computed, lengths, tables, draws))))

    return look


LOOKS = {
    "token by token": in_chunks(*[1] * NUM_TOKENS),
    "in odd chunks": in_chunks(7, 33, 1, 19),
    "beside one other": beside_others(1, 0, 0),
    "last of many": beside_others(9, 0, 0),
    "between many, after a prefix hit": beside_others(5, 7, 48),
    "decoding between prompts": beside_others(4, 4, NUM_TOKENS - 1),
}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TorchRunner:
    """float32 goes through the compiled kernels, where they are there; bfloat16 through torch."""
    folder = tmp_path_factory.mktemp("model")
    tiny_models.qwen3(folder)
    options = EngineOptions(
        model=str(folder), dtype=request.param, kv_bytes=1 << 20, page_tokens=8, batch_invariant=True
    )
    made = loading.load(options, config.read(folder)).runner
    assert isinstance(made, TorchRunner)
    return made


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_logits_are_bitwise_those_of_the_sequence_alone(runner: TorchRunner, look: Look) -> None:
    rng = random.Random(1)
    tokens = [rng.randrange(200) for _ in range(NUM_TOKENS)]
    alone = in_chunks(NUM_TOKENS)(runner, tokens)
    assert alone.std() > 0.01, "the model says something"
    assert torch.equal(look(runner, tokens), alone)


def test_the_compiled_kernels_need_no_switch(tmp_path: Path) -> None:
    if library.find() is None:
        pytest.skip("the compiled kernels are not built on this machine")
    tiny_models.qwen3(tmp_path)
    options = EngineOptions(model=str(tmp_path), dtype="float32", kv_bytes=1 << 20, page_tokens=8)
    made = loading.load(options, config.read(tmp_path)).runner
    assert isinstance(made, TorchRunner)
    tokens = [random.Random(2).randrange(200) for _ in range(NUM_TOKENS)]
    assert torch.equal(beside_others(5, 7, 16)(made, tokens), in_chunks(NUM_TOKENS)(made, tokens))
