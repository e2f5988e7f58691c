"""Synthetic requests keep to what a model can take, whatever its size."""

import pytest
from bench.contest import workload
from bench.contest.workload import Limits, Unfit
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(2, 300), st.integers(2, 200))
def test_the_first_requests_fit_every_model(vocab_size: int, num_tokens: int) -> None:
    limits = Limits(vocab_size, num_tokens)
    requests = workload.warm_up(limits)
    assert len(requests) == 8
    assert [limits.fault(request) for request in requests] == [None] * 8


def test_lengths_are_those_asked_for_and_the_same_in_each_round() -> None:
    rounds = workload.rounds(Limits(100, 64), 20, (3, 9), 5, 0, 2)
    first, second = ([len(request.prompt) for request in one] for one in rounds)
    assert first == second
    assert (min(first), max(first)) == (3, 9)
    assert rounds[0] != rounds[1]


@pytest.mark.parametrize(
    ("lengths", "why"), [((3, 60), "60 tokens in and 5 out are more than the 64"), ((9, 3), "goes first")]
)
def test_lengths_that_no_answer_can_follow_are_refused(lengths: tuple[int, int], why: str) -> None:
    with pytest.raises(Unfit, match=why):
        workload.rounds(Limits(100, 64), 20, lengths, 5, 0, 2)
