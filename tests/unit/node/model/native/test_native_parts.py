"""The compiled parts against plain torch, in every variant that this processor can run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import variants_here

from kvring_node.model.attention.sdpa import SdpaAttention
from kvring_node.model.families.family import Activation
from kvring_node.model.native.library import Library
from kvring_node.model.native.parts import NativeParts
from kvring_node.model.plain import PlainParts

LIBRARIES = variants_here.libraries()
PLAIN = PlainParts(lambda batch: SdpaAttention(batch, 16, 1024, torch.device("cpu")))

every_variant = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.variant)


def native(library: Library) -> NativeParts:
    return NativeParts(library, 16, 4, 2, 32)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_close(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-5)


rows = st.integers(1, 30) | st.sampled_from([119, 120, 121, 250])
columns = st.integers(1, 70) | st.sampled_from([256, 300])


@every_variant
@settings(max_examples=60, deadline=None)
@given(tokens=rows, inputs=columns, outputs=columns, has_bias=st.booleans())
def test_a_product_equals_torchs(
    library: Library, tokens: int, inputs: int, outputs: int, has_bias: bool
) -> None:
    weight, bias = random(outputs, inputs), random(outputs) if has_bias else None
    hidden, stream = random(tokens, inputs), random(tokens, outputs)
    got, want = native(library).linear(weight, bias), PLAIN.linear(weight, bias)
    assert_close(got(hidden), want(hidden))
    assert_close(got.add(hidden, stream.clone()), want.add(hidden, stream))


@every_variant
@settings(max_examples=40, deadline=None)
@given(inputs=columns, outputs=columns, indices=st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_rows_are_those_of_the_weight(
    library: Library, inputs: int, outputs: int, indices: list[int]
) -> None:
    weight, chosen = random(outputs, inputs), torch.tensor(indices) % outputs
    for parts in (native(library), PLAIN):
        got = parts.linear(weight, None).rows(chosen)
        assert got.is_contiguous()
        assert torch.equal(got, weight[chosen])


@every_variant
@settings(max_examples=60, deadline=None)
@given(
    tokens=rows,
    inputs=columns,
    inner=columns,
    has_bias=st.booleans(),
    activation=st.sampled_from(list(Activation)),
)
def test_a_gate_equals_torchs(
    library: Library, tokens: int, inputs: int, inner: int, has_bias: bool, activation: Activation
) -> None:
    weight, bias = random(2 * inner, inputs) / 8, random(2 * inner) if has_bias else None
    hidden = random(tokens, inputs)
    got = native(library).gate(weight, bias, activation)(hidden)
    assert_close(got, PLAIN.gate(weight, bias, activation)(hidden))


@every_variant
@pytest.mark.parametrize("activation", list(Activation))
def test_a_gate_stays_right_for_numbers_of_any_size(library: Library, activation: Activation) -> None:
    weight = torch.cat((torch.eye(8), torch.zeros(8, 8)))
    bias = torch.cat((torch.zeros(8), torch.ones(8)))
    hidden = torch.tensor([[-1e30, -1e4, -90.0, -1e-20, 0.0, 5.0, 200.0, 1e30]])
    got = native(library).gate(weight, bias, activation)(hidden)
    assert_close(got, PLAIN.gate(weight, bias, activation)(hidden))


@every_variant
@settings(max_examples=40, deadline=None)
@given(tokens=rows, size=columns)
def test_a_norm_equals_torchs(library: Library, tokens: int, size: int) -> None:
    weight, hidden = random(size), random(tokens, size)
    assert_close(native(library).norm(weight, 1e-6)(hidden), PLAIN.norm(weight, 1e-6)(hidden))


@every_variant
@settings(max_examples=40, deadline=None)
@given(
    tokens=rows,
    heads=st.integers(1, 5),
    size=st.sampled_from([(16, 16), (32, 16), (32, 32), (80, 32), (128, 128)]),
    is_normed=st.booleans(),
)
def test_a_rotation_equals_torchs(
    library: Library, tokens: int, heads: int, size: tuple[int, int], is_normed: bool
) -> None:
    head_dim, width = size
    table, norm = random(50, 2, width), random(heads, head_dim) if is_normed else None
    positions = torch.randint(0, 50, (tokens,), generator=torch.Generator().manual_seed(tokens))
    joined = random(tokens, heads + 2, head_dim)
    got, want = joined.clone(), joined.clone()
    native(library).rotation(table, norm, 1e-6)(got[:, :heads], positions)
    PLAIN.rotation(table, norm, 1e-6)(want[:, :heads], positions)
    assert_close(got, want)


@every_variant
def test_a_token_gets_the_same_bits_alone_and_in_any_batch(library: Library) -> None:
    parts, hidden = native(library), random(131, 300)
    for part in (
        parts.linear(random(70, 300), random(70)),
        parts.gate(random(140, 300), None, Activation.SILU),
        parts.norm(random(300), 1e-6),
    ):
        whole = part(hidden)
        for rows in (slice(0, 1), slice(3, 8), slice(17, 131)):
            assert torch.equal(part(hidden[rows]), whole[rows])
