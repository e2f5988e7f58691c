"""Forks, coalescing and sharing within a step, with real keys and values in the pages."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tests.support import tiny_models

from kvring_node import assembly
from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit

NUM_CASES = 120
NUM_QUICK = 20
"""How many of them run on every `make verify`; the others are marked slow."""

Answer = tuple[str, int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("qwen3")
    tiny_models.qwen3(folder)
    return folder


def engine(folder: Path, page_tokens: int, num_pages: int, seats: int, budget: int) -> Engine:
    """float32, 2 layers, 2 heads of keys and as many of values, 16 wide."""
    return assembly.load_engine(
        folder,
        page_tokens=page_tokens,
        kv_bytes=num_pages * page_tokens * 2 * 4 * 16 * 4,
        max_num_sequences=seats,
        max_batch_tokens=budget,
        num_threads=1,
    )


@dataclass(frozen=True)
class Case:
    """Requests that share their beginnings, and an engine that is too small for them at once."""

    page_tokens: int
    num_pages: int
    seats: int
    budget: int
    requests: tuple[Submit, ...]
    aborts: tuple[tuple[int, str], ...]

    def lone_requests(self) -> dict[Answer, Submit]:
        """For each answer, the request that asks for nothing else."""
        return {
            (request.request_id, index): Submit("lone", request.prompt_token_ids, lone(request.params, index))
            for request in self.requests
            for index in range(request.params.n)
        }


def lone(params: SamplingParams, index: int) -> SamplingParams:
    return SamplingParams(
        max_tokens=params.max_tokens,
        temperature=params.temperature,
        seed=None if params.seed is None else params.seed + index,
        ignore_eos=True,
    )


def make(seed: int) -> Case:
    """Lengths around page edges; n of 1 to 8; too few pages for all in most cases."""
    rng = random.Random(seed)
    page_tokens = rng.choice([8, 16])
    shared = [rng.randrange(tiny_models.EOS) for _ in range(3 * page_tokens)]
    requests = []
    for number in range(rng.randint(1, 4)):
        own = [rng.randrange(tiny_models.EOS) for _ in range(rng.choice([0, 1, page_tokens]))]
        prompt = shared[: rng.choice([1, 2, 3]) * page_tokens + rng.choice([-1, 0, -3])] + own
        draws_from = rng.choice([None, rng.randrange(9)])
        params = SamplingParams(
            n=rng.choice([1, 1, 2, 3, 5, 8]),
            max_tokens=rng.randint(1, 20),
            temperature=0.0 if draws_from is None else 1.0,
            seed=draws_from,
            ignore_eos=True,
        )
        requests.append(Submit(f"r{number}", prompt, params))
    longest = max(len(request.prompt_token_ids) + request.params.max_tokens for request in requests)
    gone = [(rng.randrange(30), request.request_id) for request in requests if rng.random() < 0.2]
    return Case(
        page_tokens=page_tokens,
        num_pages=-(-longest // page_tokens) + rng.choice([0, 1, 4, 30]),
        seats=rng.choice([1, 3, 16]),
        budget=rng.choice([7, 40, 2048]),
        requests=tuple(requests),
        aborts=tuple(gone),
    )


def run(
    engine: Engine, requests: tuple[Submit, ...], aborts: tuple[tuple[int, str], ...] = ()
) -> dict[Answer, list[int]]:
    """All at once, checked after each step; the tokens of each answer."""
    answers: dict[Answer, list[int]] = {}
    for request in requests:
        assert engine.add(request) is None
    num_steps = 0
    while engine.has_work:
        for message in engine.step():
            answers.setdefault((message.request_id, message.index), []).extend(message.token_ids)
        engine.check()
        num_steps += 1
        for at, request_id in aborts:
            if at == num_steps:
                engine.abort(request_id)
    assert engine.stats().num_pages_used == engine.stats().num_pages_saved == 0
    return answers


@pytest.mark.parametrize(
    "seed",
    [*range(NUM_QUICK), *(pytest.param(i, marks=pytest.mark.slow) for i in range(NUM_QUICK, NUM_CASES))],
)
def test_every_answer_equals_the_lone_one(seed: int, folder: Path) -> None:
    case = make(seed)
    got = run(
        engine(folder, case.page_tokens, case.num_pages, case.seats, case.budget), case.requests, case.aborts
    )
    alone = engine(folder, case.page_tokens, num_pages=64, seats=1, budget=2048)
    gone = {request_id for _, request_id in case.aborts}
    for answer, request in case.lone_requests().items():
        if answer[0] not in gone:
            alone.forget_prefixes()
            (want,) = run(alone, (request,)).values()
            assert got[answer] == want, f"{case}\nalone: pytest {__file__} -k [{seed}]"


def test_the_cases_meet_what_they_are_for(folder: Path) -> None:
    met = dict.fromkeys(("preemptions", "copies", "hits"), 0)
    for seed in range(NUM_QUICK):
        case = make(seed)
        one = engine(folder, case.page_tokens, case.num_pages, case.seats, case.budget)
        run(one, case.requests, case.aborts)
        stats = one.stats()
        met["preemptions"] += stats.num_preemptions > 0
        met["copies"] += stats.num_pages_copied > 0
        met["hits"] += stats.prefix_hits_tokens > 0
    assert min(met.values()) >= 4, met


@pytest.mark.parametrize("seed", [None, 7])
def test_followers_get_the_leaders_tokens(seed: int | None, folder: Path) -> None:
    params = SamplingParams(
        temperature=0.0 if seed is None else 1.0, seed=seed, max_tokens=12, ignore_eos=True
    )
    prompt = list(range(3, 40))
    one = engine(folder, 16, 64, 8, 2048)
    requests = tuple(Submit(name, prompt, params) for name in ("leader", "follower", "third"))
    answers = run(one, requests, aborts=((3, "leader"),))
    alone = run(engine(folder, 16, 64, 8, 2048), (Submit("lone", prompt, params),))["lone", 0]
    assert answers["follower", 0] == answers["third", 0] == alone
    assert answers["leader", 0] == alone[:3]
    assert one.stats().num_coalesced == 2


def test_equal_prompts_that_arrive_together_answer_as_if_they_came_one_by_one(folder: Path) -> None:
    prompt = list(range(3, 60))
    params = [SamplingParams(temperature=1.0, seed=seed, max_tokens=10, ignore_eos=True) for seed in range(6)]
    together = engine(folder, 16, 64, 8, 2048)
    got = run(together, tuple(Submit(str(i), prompt, one) for i, one in enumerate(params)))
    assert together.stats().prefix_hits_tokens == 5 * 48
    alone = engine(folder, 16, 64, 8, 2048)
    for i, one in enumerate(params):
        alone.forget_prefixes()
        assert run(alone, (Submit(str(i), prompt, one),)) == {(str(i), 0): got[str(i), 0]}
