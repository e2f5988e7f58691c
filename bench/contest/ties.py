"""Answers that differ where transformers itself finds two tokens equally likely: there either is right."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench.contest.contestant import Absent
from bench.contest.workload import Request
from tests.support.greedy_judge import TIE


@dataclass(frozen=True)
class Difference:
    """A contestant's answer to a request is not the first contestant's."""

    name: str
    request: Request
    first: list[int]
    other: list[int]


def count(folder: Path, device: str, differences: Sequence[Difference]) -> dict[str, int]:
    """How many of each contestant's differences begin with a tie; none if transformers cannot tell."""
    if not differences:
        return {}
    try:
        from bench.contest import hf

        model = hf.load(folder, device)
    except (Absent, ImportError):
        return {}
    return dict(Counter(one.name for one in differences if is_tie(model, one)))


@torch.inference_mode()
def is_tie(model: Any, difference: Difference) -> bool:
    """Whether both tokens have a greatest logit, within what rounding makes of it, after those shared."""
    pairs = zip(difference.first, difference.other, strict=False)
    place = next((place for place, (first, other) in enumerate(pairs) if first != other), None)
    if place is None:
        return False
    known = [*difference.request.prompt, *difference.first[:place]]
    logits = model(torch.tensor([known], device=model.device)).logits[0, -1]
    least = logits[[difference.first[place], difference.other[place]]].min()
    return bool(logits.max() - least <= TIE)
