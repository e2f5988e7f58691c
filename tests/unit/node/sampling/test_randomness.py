"""One uniform number a draw: a function of seed and number, uniform, and no token without weight follows."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from kvring_node.sampling import randomness

SEEDS = st.integers(-(2**63), 2**64)


def slow_uniform(seed: int, number: int) -> float:
    """SplitMix64 in plain integers."""
    word = mix(mix(seed % 2**64) + (number + 1) * 0x9E3779B97F4A7C15)
    return (word >> 11) * 2.0**-53


def mix(word: int) -> int:
    word %= 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


@given(st.lists(st.tuples(SEEDS, st.integers(0, 2**40)), min_size=1))
def test_uniforms_are_splitmix64_in_the_unit_interval(pairs: list[tuple[int, int]]) -> None:
    seeds, numbers = zip(*pairs, strict=True)
    got = randomness.uniforms(seeds, numbers).tolist()
    assert got == [slow_uniform(seed, number) for seed, number in pairs]
    assert all(0 <= number < 1 for number in got)


def test_uniforms_of_neighbouring_seeds_and_numbers_are_uncorrelated() -> None:
    seeds, numbers = np.meshgrid(np.arange(300), np.arange(300), indexing="ij")
    flat = randomness.uniforms(seeds.ravel().tolist(), numbers.ravel().tolist())
    grid = flat.numpy().reshape(300, 300)
    assert abs(grid.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(grid[:-1].ravel(), grid[1:].ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(grid[:, :-1].ravel(), grid[:, 1:].ravel())[0, 1]) < 0.015


@given(
    weights=st.lists(st.sampled_from([0.0, 1e-300, 0.1, 1 / 3, 1.0, 7.0]), min_size=1, max_size=9),
    uniform=st.one_of(st.floats(0, 1, exclude_max=True), st.just(1 - 2.0**-53), st.just(0.0)),
)
def test_a_token_without_weight_is_never_picked(weights: list[float], uniform: float) -> None:
    if not any(weights):
        weights[0] = 1.0
    one = torch.tensor([weights], dtype=torch.float64)
    (picked,) = randomness.invert(one, torch.tensor([uniform], dtype=torch.float64)).tolist()
    assert weights[picked] > 0


def test_each_index_gets_its_share() -> None:
    weights = torch.tensor([[1.0, 0.0, 2.0, 1.0]], dtype=torch.float64).expand(4, -1)
    uniforms = torch.tensor([0.24, 0.25, 0.74, 0.75], dtype=torch.float64)
    assert randomness.invert(weights, uniforms).tolist() == [0, 2, 2, 3]
