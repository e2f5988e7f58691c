"""Thousands of requests of all kinds through one small engine: nothing is lost and nothing stays behind."""

import gc
import random
import tracemalloc

import pytest
from tests.support import paper_engine
from tests.support.paper_engine import PaperEngine

from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import Submit

PROMPTS = [[letter] * length for letter in range(4) for length in (3, 8, 13, 22)]


class Crowd:
    """Clients that come, listen, and sometimes leave."""

    def __init__(self, paper: PaperEngine, rng: random.Random):
        self._engine = paper.engine
        self._rng = rng
        self._num_sent = 0
        self.waiting: dict[str, int] = {}
        self.num_answered = 0
        self.num_left = 0

    def turn(self, num_wanted: int) -> None:
        """Some arrive, some leave, and the engine makes a step, checked now and then."""
        for _ in range(min(self._rng.randrange(4), num_wanted - self._num_sent)):
            self._arrive()
        if self.waiting and self._rng.random() < 0.1:
            self._leave(self._rng.choice(list(self.waiting)))
        for message in self._engine.step():
            self.waiting[message.request_id] -= len(message.token_ids)
            if message.is_last:
                assert self.waiting.pop(message.request_id) == 0
                self.num_answered += 1
        if self._rng.random() < 0.05:
            self._engine.check()

    def _arrive(self) -> None:
        rng, request_id = self._rng, f"r{self._num_sent}"
        n, max_tokens = rng.choice([1, 1, 1, 2, 4]), rng.randint(1, 12)
        sampling = rng.choice([{}, {"temperature": 1.0}, {"temperature": 1.0, "seed": rng.randrange(3)}])
        asked = paper_engine.submit(request_id, rng.choice(PROMPTS), max_tokens, n=n, **sampling)
        priority, tenant = rng.randrange(2), rng.choice("ab")
        assert (
            self._engine.add(Submit(request_id, asked.prompt_token_ids, asked.params, priority, tenant))
            is None
        )
        self.waiting[request_id] = n * max_tokens
        self._num_sent += 1

    def _leave(self, request_id: str) -> None:
        del self.waiting[request_id]
        self._engine.abort(request_id)
        self.num_left += 1


def soak(paper: PaperEngine, num_requests: int, seed: int) -> None:
    """That many requests, to the last one's end."""
    crowd = Crowd(paper, random.Random(seed))
    while crowd.num_answered + crowd.num_left < num_requests:
        crowd.turn(num_requests)
    assert not crowd.waiting
    assert not paper.engine.has_work
    paper.engine.check()
    stats = paper.engine.stats()
    assert (stats.num_running, stats.num_waiting, stats.num_pages_used, stats.num_pages_saved) == (0, 0, 0, 0)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize(
    "num_requests", [1000, pytest.param(5000, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_every_request_is_answered_whole_or_left_and_no_page_is_lost(
    strategy: str, num_requests: int
) -> None:
    paper = paper_engine.make(num_pages=12, max_batch_tokens=24, max_num_sequences=5, strategy=strategy)
    soak(paper, num_requests, seed=1)
    stats = paper.engine.stats()
    assert min(stats.num_preemptions, stats.num_pages_copied, stats.num_coalesced) > 0


def test_an_engine_does_not_grow_with_the_requests_it_has_served() -> None:
    paper = paper_engine.make(num_pages=12, max_batch_tokens=24, max_num_sequences=5)
    tracemalloc.start()
    try:
        soak(paper, 600, seed=1)  # dictionaries take their sizes
        before = settled(paper)
        soak(paper, 600, seed=2)
        grown = settled(paper) - before
    finally:
        tracemalloc.stop()
    assert grown < 10_000, "bytes, of 600 requests"


def settled(paper: PaperEngine) -> int:
    """Bytes that are held when the garbage is gone, and the runner's own diary."""
    paper.runner.batch_tokens.clear()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
