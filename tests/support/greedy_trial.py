"""One random case, from its seed to the verdict."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import transformers
from tests.support import engine_cases, greedy_judge, tiny_models
from tests.support.variants import VARIANTS


@dataclass(frozen=True)
class Saved:
    """A model as transformers has it, and its folder."""

    folder: Path
    model: transformers.PreTrainedModel


class Models:
    """Every variant in a folder of its own, made when it is first asked for."""

    def __init__(self, home: Path):
        self._home = home
        self._saved: dict[str, Saved] = {}

    def __getitem__(self, variant: str) -> Saved:
        """The variant of this name."""
        if variant not in self._saved:
            kind, overrides = VARIANTS[variant]
            folder = self._home / variant
            self._saved[variant] = Saved(folder, tiny_models.make(kind, folder, **overrides))
        return self._saved[variant]


@dataclass(frozen=True)
class Trial:
    """What a case met on its way; `counts` also tells of what it is meant to meet."""

    variant: str
    worst: float
    counts: Counter[str] = field(default_factory=Counter)


def run(seed: int, models: Models) -> Trial:
    """Lets the engine answer, and transformers judge each answer.

    Raises:
        AssertionError: an answer is wrong, or the pool is not as it must be; with a line that runs the case.
    """
    case = engine_cases.make(seed)
    try:
        return _run(case, models[case.variant])
    except Exception as error:
        again = f"python -m tests.campaigns.oracle --only {seed}"
        raise AssertionError(f"{type(error).__name__}: {error}; {case.variant}; again: {again}") from error


def _run(case: engine_cases.Case, saved: Saved) -> Trial:
    engine = case.engine(saved.folder)
    worst = 0.0
    counts: Counter[str] = Counter(cases=1)
    for ask, answers in zip(case.asks, engine_cases.answers(case, engine), strict=True):
        counts["cancelled"] += answers is None
        for answer in answers or ():
            verdict = greedy_judge.judge(saved.model, ask, answer)
            worst = max(worst, verdict.worst)
            counts["answers"] += 1
            counts["tokens"] += verdict.num_tokens
            counts["ties"] += verdict.num_ties
            counts["stopped early"] += verdict.num_tokens < ask.params.max_tokens
    stats = engine.stats()
    assert stats.num_pages_used == 0, f"{stats.num_pages_used} pages are left in use"
    assert worst < greedy_judge.TOLERANCE, f"log probabilities differ by {worst:.3g}"
    counts["with preemption"] += stats.num_preemptions > 0
    counts["with prefix hits"] += stats.prefix_hits_tokens > 0
    counts["with copied pages"] += stats.num_pages_copied > 0
    counts["with coalescing"] += stats.num_coalesced > 0
    return Trial(case.variant, worst, counts)
