"""Recorded arrivals against the whole brain, in virtual time and with too few pages."""

import dataclasses

import pytest
from bench import arrivals
from tests.support import paper_replay, recorded
from tests.support.paper_replay import Arrival, Machine, Replay

from kvring_node.engine.strategies.registry import STRATEGIES

AZURE = "azure-llm-2023/AzureLLMInferenceTrace_code.csv"
MACHINE = Machine(num_pages=600, max_num_sequences=32)  # 9,600 tokens; the longest prompt has about 7,400
NUM_REQUESTS = 300


@pytest.fixture(scope="module")
def trace() -> list[Arrival]:
    """Compressed until there is more to do than can be done; every third names no deadline."""
    requests = arrivals.recorded(recorded.path(AZURE), NUM_REQUESTS)
    return [
        dataclasses.replace(
            arrival,
            at=arrival.at * 0.3,
            num_answer_tokens=4 * arrival.num_answer_tokens,
            tenant="abc"[number % 3],
            priority=number % 5,
            deadline_s=None if number % 3 == 0 else 5.0,
        )
        for number, arrival in enumerate(requests)
    ]


@pytest.fixture(scope="module")
def first_come(trace: list[Arrival]) -> Replay:
    return paper_replay.replay(trace, "FCFS", MACHINE)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_request_of_the_record_ends_with_all_its_tokens(
    strategy: str, trace: list[Arrival], first_come: Replay
) -> None:
    run = paper_replay.replay(trace, strategy, MACHINE)
    assert [len(outcome.token_moments) for outcome in run.outcomes] == [
        arrival.num_answer_tokens for arrival in trace
    ]
    assert all(outcome.ended_at is not None for outcome in run.outcomes)
    assert max(run.step_tokens) == MACHINE.max_batch_tokens, "there was more to do than a step may"
    assert run.num_preemptions > 0, "the pages were to be too few"
    assert run.step_moments[-1] < 1.2 * first_come.step_moments[-1], "whoever waits does not leave it idle"


def test_first_come_is_first_served(trace: list[Arrival]) -> None:
    run = paper_replay.replay(trace, "FCFS", dataclasses.replace(MACHINE, num_pages=16_384))
    begun = [outcome.token_moments[0] for outcome in run.outcomes]
    assert run.num_preemptions == 0
    assert begun == sorted(begun)


def test_deadlines_are_met_more_often_by_who_looks_at_them(trace: list[Arrival], first_come: Replay) -> None:
    run = paper_replay.replay(trace, "SLA", MACHINE)
    assert _num_in_time(run) > 1.3 * _num_in_time(first_come)


def test_important_requests_wait_less(trace: list[Arrival], first_come: Replay) -> None:
    run = paper_replay.replay(trace, "Priority", MACHINE)
    assert _mean_wait_s(run, priority=0) < 0.8 * _mean_wait_s(first_come, priority=0)
    assert _mean_wait_s(run, priority=4) > _mean_wait_s(first_come, priority=4)


def _num_in_time(run: Replay) -> int:
    return sum(outcome.is_in_time for outcome in run.outcomes if outcome.arrival.deadline_s is not None)


def _mean_wait_s(run: Replay, priority: int) -> float:
    waits = [
        outcome.token_moments[0] - outcome.arrival.at
        for outcome in run.outcomes
        if outcome.arrival.priority == priority
    ]
    return sum(waits) / len(waits)
