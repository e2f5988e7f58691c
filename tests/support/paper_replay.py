"""The whole brain in virtual time: a trace says when requests arrive, a cost model how long a step takes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
from tests.support import paper_engine
from tests.support.paper_runner import VOCAB_SIZE, PaperRunner

from kvring_node.batch import Batch, Drawn
from kvring_node.messages import SamplingParams, Submit


@dataclass(frozen=True)
class Arrival:
    """A request of a trace; how long its answer becomes is not known to the engine."""

    at: float
    num_prompt_tokens: int
    num_answer_tokens: int
    tenant: str = ""
    priority: int = 0
    deadline_s: float | None = None


@dataclass(frozen=True)
class Machine:
    """Where it runs: a step takes `fixed_s`, and `token_s` for each of its tokens."""

    fixed_s: float = 0.015
    token_s: float = 0.0001
    max_batch_tokens: int = 2048
    max_num_sequences: int = 64
    num_pages: int = 16_384
    page_tokens: int = 16
    max_answer_tokens: int = 4096


@dataclass
class Outcome:
    """What became of an arrival."""

    arrival: Arrival
    token_moments: list[float] = field(default_factory=list)
    ended_at: float | None = None

    @property
    def is_in_time(self) -> bool:
        """Whether it ended, and by its deadline if it has one."""
        deadline_s = self.arrival.deadline_s
        if self.ended_at is None:
            return False
        return deadline_s is None or self.ended_at - self.arrival.at <= deadline_s


@dataclass(frozen=True)
class Replay:
    """How a trace went. Steps are told by their moments of ending."""

    outcomes: list[Outcome]
    step_moments: list[float]
    step_tokens: list[int]
    num_preemptions: int


class _Clock:
    now = 0.0


class _TimedRunner(PaperRunner):
    """Moves the clock, and ends each answer at its length; requests are told by their seeds."""

    def __init__(self, clock: _Clock, machine: Machine, arrivals: list[Arrival]):
        super().__init__(machine.page_tokens)
        self._clock = clock
        self._machine = machine
        self._arrivals = arrivals
        self.moments: list[float] = []

    def run(self, batch: Batch) -> Drawn:
        num_tokens = len(batch.token_ids)
        self._clock.now += self._machine.fixed_s + self._machine.token_s * num_tokens
        self.batch_tokens.append(num_tokens)
        self.moments.append(self._clock.now)
        return Drawn(
            [
                paper_engine.EOS if draw.number + 1 >= self._arrivals[draw.seed].num_answer_tokens else 0
                for draw in batch.draws
            ]
        )


def replay(trace: Iterable[Arrival], strategy: str, machine: Machine, until: float = math.inf) -> Replay:
    """Runs a trace, in the order of its moments, to its end or to the moment `until`."""
    arrivals = list(trace)
    clock = _Clock()
    runner = _TimedRunner(clock, machine, arrivals)
    paper = paper_engine.make(
        machine.num_pages,
        machine.page_tokens,
        machine.max_batch_tokens,
        machine.max_num_sequences,
        strategy,
        lambda: clock.now,
        lambda _: runner,
    )
    outcomes = [Outcome(arrival) for arrival in arrivals]
    num_arrived = 0
    while clock.now < until and (num_arrived < len(arrivals) or paper.engine.has_work):
        if not paper.engine.has_work:
            clock.now = max(clock.now, arrivals[num_arrived].at)
        while num_arrived < len(arrivals) and arrivals[num_arrived].at <= clock.now:
            refused = paper.engine.add(_submit(num_arrived, arrivals[num_arrived], machine))
            if refused is not None:
                raise ValueError(f"request {num_arrived} of the trace: {refused.message}")
            num_arrived += 1
        for message in paper.engine.step():
            outcome = outcomes[int(message.request_id)]
            outcome.token_moments += [clock.now] * len(message.token_ids)
            if message.is_last:
                outcome.ended_at = clock.now
    paper.engine.check()
    return Replay(outcomes, runner.moments, runner.batch_tokens, paper.engine.stats().num_preemptions)


def _submit(number: int, arrival: Arrival, machine: Machine) -> Submit:
    """No two prompts begin alike."""
    digits = [number % VOCAB_SIZE, number // VOCAB_SIZE % VOCAB_SIZE]
    prompt = (digits + [0] * arrival.num_prompt_tokens)[: arrival.num_prompt_tokens]
    submit = Submit(
        request_id=str(number),
        prompt_token_ids=prompt,
        params=SamplingParams(max_tokens=machine.max_answer_tokens, seed=number),
    )
    return msgspec.structs.replace(
        submit, priority=arrival.priority, tenant=arrival.tenant, deadline_s=arrival.deadline_s
    )
