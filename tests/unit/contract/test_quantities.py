from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvring_contract import quantities

BYTES = [
    ("4096", 4096),
    (4096, 4096),
    ("512Mi", 512 * 2**20),
    ("1.5G", 1_500_000_000),
    (".5Ki", 512),
    ("2.Ki", 2048),
    ("0", 0),
    ("1m", 1),  # a thousandth of a byte takes a whole one
    ("1E", 10**18),
    ("007Mi", 7 * 2**20),
]
NOT_BYTES = ["", "Mi", "1 Mi", "-1", "+1", "1e3", "1mi", "1KB", "٣", "1\n", "0x10", "1.2.3"]


@pytest.mark.parametrize(("text", "count"), BYTES)
def test_bytes_read_as_kubernetes_reads_them(text: str | int, count: int) -> None:
    assert quantities.parse_bytes(text) == count


@pytest.mark.parametrize("text", NOT_BYTES)
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500m or 4Gi"):
        quantities.parse_amount(text)


def test_amounts_are_exact() -> None:
    assert quantities.parse_amount("100m") * 10 == 1
    assert quantities.parse_amount("1n") == Fraction(1, 10**9)


@given(st.integers(0, 2**63))
def test_rendered_bytes_read_back_as_the_same_number(count: int) -> None:
    assert quantities.parse_bytes(quantities.render_bytes(count)) == count


@given(st.integers(1, 1023), st.sampled_from(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]))
def test_whole_binary_units_are_rendered_as_people_write_them(count: int, unit: str) -> None:
    assert quantities.render_bytes(quantities.parse_bytes(f"{count}{unit}")) == f"{count}{unit}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2m", 120), ("1h30m", 5400), ("1h0m1s", 3601), ("0s", 0), ("007s", 7)],
)
def test_durations(text: str, seconds: float) -> None:
    assert quantities.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "90", "1.5s", "1s1m", "-1s", "1 m", "1ms", "1d", "5s\n", "٣s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s, 2m or 1h30m"):
        quantities.parse_duration(text)


def test_percentages() -> None:
    assert quantities.parse_percent("0%") == 0
    assert quantities.parse_percent("25%") == 0.25


@pytest.mark.parametrize("text", ["10", "%", "100%", "-1%", "5.5%", "10%\n", "٣%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 10%"):
        quantities.parse_percent(text)
