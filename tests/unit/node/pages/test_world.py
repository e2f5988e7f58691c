"""Pool, page tables, prefix index and forks together, under random operations over paper memory.

`python -m tests.campaigns.pages --operations 1000000` is the same world for longer.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.campaigns import pages as campaign
from tests.support.page_world import Turn, World

NUMBERS = st.integers(0, 59)
TURNS = st.lists(
    st.builds(
        Turn,
        who=NUMBERS,
        num_tokens=NUMBERS,
        num_siblings=st.integers(0, 2),
        tokens=st.tuples(*[st.integers(0, 1)] * 3),
        is_withdrawn=st.booleans(),
    ),
    max_size=5,
)
PROMPTS = st.lists(st.integers(0, 1), min_size=1, max_size=20).map(tuple)


class PagesMachine(RuleBasedStateMachine):
    @initialize(num_pages=st.integers(2, 16), page_tokens=st.sampled_from([1, 2, 4]))
    def begin(self, num_pages: int, page_tokens: int) -> None:
        self.world = World(num_pages, page_tokens)

    @rule(turns=TURNS)
    def step(self, turns: list[Turn]) -> None:
        self.world.step(turns)

    @rule(turns=TURNS, prompts=st.lists(PROMPTS, min_size=1, max_size=3))
    def step_with_arrivals(self, turns: list[Turn], prompts: list[tuple[int, ...]]) -> None:
        self.world.step(turns, prompts)

    @rule(turns=TURNS, prompt=PROMPTS)
    def step_with_twins(self, turns: list[Turn], prompt: tuple[int, ...]) -> None:
        self.world.step(turns, [prompt, prompt])

    @rule(who=NUMBERS)
    def finish(self, who: int) -> None:
        self.world.finish(who)

    @rule(who=NUMBERS)
    def preempt(self, who: int) -> None:
        self.world.preempt(who)

    @rule(who=NUMBERS)
    def resume(self, who: int) -> None:
        self.world.resume(who)

    @rule()
    def forget(self) -> None:
        self.world.forget()


PagesMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPages = PagesMachine.TestCase


def test_a_short_campaign_meets_what_it_is_for() -> None:
    counts = campaign.campaign(2000, seed=0)
    assert min(counts["forks"], counts["copies"], counts["hit tokens"], counts["preempt"]) >= 50
