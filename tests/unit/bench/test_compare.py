"""The judge of a contest: tokens really answered, and which differences are ties."""

import itertools
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from bench import throughput
from bench.contest import ties
from bench.contest.contestant import Absent, Contestant, InProcess
from bench.contest.ties import Difference
from bench.contest.workload import Answers, Request

REQUESTS = [Request([1, 2], 4), Request([3], 4)]


class Saying(InProcess):
    def __init__(self, *answers: list[int]) -> None:
        self._answers = list(answers)

    def __call__(self, requests: Sequence[Request]) -> Answers:
        return self._answers


def contest(**others: Contestant) -> tuple[dict[str, object], list[Difference]]:
    """Every answer takes one second."""
    seconds = itertools.count()
    contestants = {"first": Saying([5, 6, 7, 8], [5, 6, 7, 8]), **others}
    return throughput.compare(contestants, [REQUESTS, REQUESTS], lambda _: float(next(seconds)))


def test_a_rate_counts_the_tokens_that_came_and_not_those_asked_for() -> None:
    result, _ = contest(lazy=Saying([5], [5]))
    assert result["tokens_per_s"] == {
        "first": {"median": 8.0, "min": 8.0, "max": 8.0},
        "lazy": {"median": 2.0, "min": 2.0, "max": 2.0},
    }
    assert result["ratio"] == {"lazy": 4.0}


def test_answers_that_are_not_the_first_ones_are_told_one_by_one() -> None:
    result, differences = contest(other=Saying([5, 6, 7, 8], [5, 6, 0, 8]))
    assert result["equal"] == {"first": "4 of 4", "other": "2 of 4"}
    assert differences == [Difference("other", REQUESTS[1], [5, 6, 7, 8], [5, 6, 0, 8])] * 2


def test_who_answers_nothing_has_no_rate() -> None:
    with pytest.raises(Absent, match="mute: 0 tokens in 1 s"):
        contest(mute=Saying([], []))


class Model:
    """Finds these next tokens likely after [1, 2, 5]."""

    device = torch.device("cpu")

    def __init__(self, *logits: float) -> None:
        self._logits = logits

    def __call__(self, token_ids: torch.Tensor) -> SimpleNamespace:
        assert token_ids.tolist() == [[1, 2, 5]]
        return SimpleNamespace(logits=torch.tensor([[self._logits] * 3]))


@pytest.mark.parametrize(
    ("sentence", "logits", "is_tie"),
    [
        ("both are likeliest", (3.0, 3.0 + 5e-5, 0.0), True),
        ("one is less likely", (3.0, 3.001, 0.0), False),
        ("a third is likelier than both", (3.0, 3.0, 4.0), False),
    ],
)
def test_a_tie_is_where_both_tokens_are_likeliest(
    sentence: str, logits: tuple[float, ...], is_tie: bool
) -> None:
    difference = Difference("other", REQUESTS[0], [5, 0, 1, 1], [5, 1, 9, 9])
    assert ties.is_tie(Model(*logits), difference) is is_tie


def test_an_answer_that_only_ends_early_is_no_tie() -> None:
    assert not ties.is_tie(Model(), Difference("other", REQUESTS[0], [5, 0], [5]))
