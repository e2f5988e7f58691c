"""Random cases for the comparison of the engine with `generate` of transformers: functions of a seed."""

import dataclasses
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.support import tiny_models
from tests.support.variants import VARIANTS

from kvring_node import assembly
from kvring_node.engine.engine import Engine
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import SamplingParams, Submit

MOST_STEPS = 20_000


@dataclass(frozen=True)
class Ask:
    """One request. It comes at step `at_step`, or earlier if the engine has nothing to do.

    `patience`: after so many steps its client goes away; None: it waits for the end.
    """

    prompt: tuple[int, ...]
    params: SamplingParams
    at_step: int
    priority: int = 0
    tenant: str = ""
    patience: int | None = None


@dataclass(frozen=True)
class Answer:
    """Tokens, and the logarithm of the probability that the model gave to each, if it was asked for."""

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """What to ask of which engine."""

    variant: str
    page_tokens: int
    num_pages: int
    max_batch_tokens: int
    max_num_sequences: int
    strategy: str
    asks: tuple[Ask, ...]

    def engine(self, folder: Path) -> Engine:
        """An engine of this shape for the model in `folder`."""
        config = {**tiny_models.COMMON, **VARIANTS[self.variant][1]}
        slot = 2 * config["num_key_value_heads"] * config["head_dim"] * 4
        return assembly.load_engine(
            folder,
            dtype="float32",
            device="cpu",
            page_tokens=self.page_tokens,
            kv_bytes=self.num_pages * self.page_tokens * config["num_hidden_layers"] * slot,
            max_batch_tokens=self.max_batch_tokens,
            max_num_sequences=self.max_num_sequences,
            strategy=self.strategy,
        )


def make(seed: int) -> Case:
    """Lengths around page edges, shared prefixes, chunks, forks, and in some cases too few pages for all."""
    rng = random.Random(seed)
    page_tokens = rng.choice([8, 8, 16, 16, 32, 64])
    shared = _tokens(rng, 3 * page_tokens)
    asks = [_ask(rng, page_tokens, shared) for _ in range(rng.randint(1, 5))]
    if rng.random() < 0.3:  # the same twice: a run that is under way answers both, if nothing else is asked
        params = msgspec.structs.replace(asks[0].params, n=1, logprobs=None)
        asks[0] = dataclasses.replace(asks[0], params=params)
        later = asks[0].at_step + rng.choice([0, 2, 1000])
        asks.append(dataclasses.replace(asks[0], at_step=later, patience=None))
    longest = max(len(ask.prompt) + ask.params.max_tokens for ask in asks)
    return Case(
        variant=rng.choice(sorted(VARIANTS)),
        page_tokens=page_tokens,
        num_pages=-(-longest // page_tokens) + rng.choice([0, 1, 3, 20]),
        max_batch_tokens=rng.choice([5, page_tokens, 3 * page_tokens + 1, 2048]),
        max_num_sequences=rng.choice([1, 2, 8]),
        strategy=rng.choice(sorted(STRATEGIES)),
        asks=tuple(asks),
    )


def _ask(rng: random.Random, page_tokens: int, shared: list[int]) -> Ask:
    prefix = shared[: rng.choice([0, 0, page_tokens, 2 * page_tokens + 1, 3 * page_tokens])]
    own = max(1, rng.choice([1, 2, 3]) * page_tokens + rng.choice([-1, 0, 1, 5]) - len(prefix))
    max_tokens = rng.randint(1, 24)
    return Ask(
        prompt=(*prefix, *_tokens(rng, own)),
        params=SamplingParams(
            max_tokens=max_tokens,
            temperature=0,
            n=rng.choice([1, 1, 1, 2, 3]),
            repetition_penalty=rng.choice([1.0, 1.0, 1.3]),
            stop_token_ids=tuple(_tokens(rng, rng.choice([0, 0, 20]))),
            ignore_eos=rng.random() < 0.3,
            min_tokens=rng.choice([0, 0, rng.randint(0, max_tokens)]),
            logprobs=0,
        ),
        at_step=rng.choice([0, 0, 1, 5, 1000]),
        priority=rng.randint(0, 2),
        tenant=rng.choice(["a", "b"]),
        patience=rng.randint(0, 10) if rng.random() < 0.1 else None,
    )


def _tokens(rng: random.Random, num: int) -> list[int]:
    return [rng.randrange(tiny_models.EOS) for _ in range(num)]


def answers(case: Case, engine: Engine) -> list[list[Answer] | None]:
    """For each ask its answers, or None if its client went away; the pool is checked after each step."""
    said: defaultdict[str, defaultdict[int, Answer]] = defaultdict(lambda: defaultdict(Answer))
    coming = sorted(range(len(case.asks)), key=lambda i: case.asks[i].at_step)
    leaving: dict[int, set[int]] = defaultdict(set)
    step = 0
    while coming or engine.has_work:
        while coming and (case.asks[coming[0]].at_step <= step or not engine.has_work):
            index = coming.pop(0)
            ask = case.asks[index]
            refused = engine.add(
                Submit(str(index), list(ask.prompt), ask.params, priority=ask.priority, tenant=ask.tenant)
            )
            assert refused is None, refused
            if ask.patience is not None:
                leaving[step + ask.patience].add(index)
        for index in leaving[step]:
            engine.abort(str(index))
        for message in engine.step():
            answer = said[message.request_id][message.index]
            answer.token_ids.extend(message.token_ids)
            answer.logprobs.extend(one.logprob for one in message.logprobs or ())
        engine.check()
        step += 1
        assert step < MOST_STEPS, "the engine works for ever"
    return [
        None if ask.patience is not None else [said[str(i)][number] for number in range(ask.params.n)]
        for i, ask in enumerate(case.asks)
    ]
