"""The virtual token counter: its bound, its lift, and what it remembers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvring_node.batch import Chunk
from kvring_node.engine.strategies import fairness
from kvring_node.messages import SamplingParams
from kvring_node.sequence import Sequence

NUMBERS = itertools.count()


def sequence(tenant: str, num_prompt_tokens: int = 10) -> Sequence:
    return Sequence(
        f"{tenant}{next(NUMBERS)}",
        [1] * num_prompt_tokens,
        num_prompt_tokens,
        SamplingParams(),
        1000,
        frozenset(),
        0,
        tenant=tenant,
        arrival=next(NUMBERS),
    )


def push(line: fairness.Fairness, tenant: str, count: int = 1, num_prompt_tokens: int = 10) -> None:
    for _ in range(count):
        line.push(sequence(tenant, num_prompt_tokens))


def serve(line: fairness.Fairness, num_tokens: int = 0) -> Sequence:
    """Admits the next one, lets it draw so many tokens, and ends it."""
    first = line.peek()
    assert first is not None
    line.admit(first)
    first.num_computed = first.num_prompt_tokens
    for _ in range(num_tokens):
        first.token_ids.append(1)
        line.observe([Chunk(first, 1)], 0.01)
        first.num_computed += 1
    line.remove(first)
    return first


def order(line: fairness.Fairness, count: int, num_tokens: int = 0) -> str:
    return "".join(serve(line, num_tokens).tenant for _ in range(count))


def test_tenants_take_turns_however_much_one_sends() -> None:
    line = fairness.Fairness(lambda: 0.0)
    push(line, "a", 9)
    push(line, "b", 3)
    assert order(line, 6) == "ababab"


def test_who_sends_twice_as_long_prompts_gets_half_the_turns() -> None:
    line = fairness.Fairness(lambda: 0.0)
    push(line, "a", 9)
    push(line, "b", 9, num_prompt_tokens=20)
    assert order(line, 9) == "abaabaaba"


def test_a_token_of_the_answer_counts_as_two_of_the_prompt() -> None:
    line = fairness.Fairness(lambda: 0.0)
    push(line, "a", 2)
    push(line, "b", 5)
    served = [serve(line, num_tokens=10 if number == 0 else 0).tenant for number in range(5)]
    assert served == list("abbba"), "30 for the first of a, then three of b at 10, then of equals the earlier"


def test_who_was_away_comes_back_as_an_equal_and_not_with_savings() -> None:
    line = fairness.Fairness(lambda: 0.0)
    push(line, "away")
    serve(line)
    push(line, "a", 50)
    order(line, 40)
    push(line, "away", 10)
    assert order(line, 6).count("away") == 3


def test_what_the_cache_holds_costs_nothing() -> None:
    line = fairness.Fairness(lambda: 0.0)
    cached, other = sequence("a"), sequence("b", 5)
    cached.num_computed = 8
    line.push(cached)
    line.push(other)
    push(line, "a")
    push(line, "b")
    assert [serve(line).tenant for _ in range(3)] == ["a", "b", "a"]


def test_who_lost_its_pages_does_not_pay_for_its_prompt_again() -> None:
    line = fairness.Fairness(lambda: 0.0)
    unlucky = sequence("a")
    line.push(unlucky)
    for _ in range(5):
        line.admit(unlucky)
        line.push_back(unlucky)
    serve(line)
    push(line, "b", 2, num_prompt_tokens=9)
    push(line, "a")
    assert order(line, 3) == "bab"


def test_an_endless_row_of_new_tenants_does_not_starve_an_old_one() -> None:
    line = fairness.Fairness(lambda: 0.0)
    push(line, "old", num_prompt_tokens=100)
    push(line, "new0")
    serve(line)
    push(line, "old")
    for number in range(1, 30):
        push(line, f"new{number}")
        if serve(line).tenant == "old":
            return
    pytest.fail("28 others went first")


def test_tenants_who_left_and_owe_nothing_are_forgotten() -> None:
    line = fairness.Fairness(lambda: 0.0)
    for number in range(10 * fairness.FEW_TENANTS):
        push(line, f"t{number}")
        serve(line, num_tokens=2)
    assert len(line._served) <= fairness.FEW_TENANTS + 1


@given(
    data=st.data(),
    most_in=st.integers(1, 50),
    most_out=st.integers(0, 20),
    tenants=st.sampled_from(["ab", "abc"]),
)
def test_two_who_always_wait_are_never_further_apart_than_the_paper_says(
    data: st.DataObject, most_in: int, most_out: int, tenants: str
) -> None:
    """Theorem 4.4 where one runs at a time: two requests' worth."""
    line = fairness.Fairness(lambda: 0.0)
    for tenant in tenants:
        push(line, tenant, 2, data.draw(st.integers(1, most_in)))
    served = dict.fromkeys(tenants, 0)
    for _ in range(30):
        num_tokens = data.draw(st.integers(0, most_out))
        tenant = (first := serve(line, num_tokens)).tenant
        served[tenant] += (
            fairness.INPUT_COST * first.num_prompt_tokens + fairness.OUTPUT_COST * first.num_generated
        )
        push(line, tenant, 1, data.draw(st.integers(1, most_in)))
        bound = 2 * (fairness.INPUT_COST * most_in + fairness.OUTPUT_COST * most_out)
        assert max(served.values()) - min(served.values()) <= bound
