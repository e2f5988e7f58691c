"""Ways to draw a token, each a sentence, and how the sampler's draws compare with their law."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from tests.support import sampling_law
from tests.support.sampling_law import Case

from kvring_node.batch import Draw
from kvring_node.messages import SamplingParams
from kvring_node.sampling import choose

LOGITS = np.array([1.0, -0.5, 2.0, 0.3, -3.0, 1.7, 0.9], dtype=np.float32)
CHUNK = 2_000
"""So many draws of each case go through the sampler at once."""

UNLIKELY = 1e-6
"""Draws this far from their law are wrong; with fixed seeds and the cases below that is no game of chance."""


def case(
    sentence: str, *, prompt: Any = (), answer: Any = (), banned: Any = (), allowed: Any = None, **params: Any
):
    return Case(sentence, SamplingParams(**params), prompt, answer, frozenset(banned), allowed)


CASES = [
    case("nothing asked: the model's own law"),
    case("a hot law is flatter", temperature=2.0),
    case("a cold law is steeper", temperature=0.5),
    case("greedy", temperature=0.0),
    case("greedy says something else when the likeliest token was there before",
         temperature=0.0, presence_penalty=0.5, answer=(2,)),
    case("the two likeliest", top_k=2),
    case("k = 1 is greedy", top_k=1, temperature=2.0),
    case("a nucleus", top_p=0.8),
    case("a nucleus of one", top_p=0.01),
    case("temperature comes before the nucleus", top_p=0.8, temperature=0.5),
    case("no token less than a third as likely as the likeliest", min_p=1 / 3),
    case("temperature comes before min_p", min_p=1 / 3, temperature=3.0),
    case("top_p is a share of what top_k leaves", top_k=4, top_p=0.8),
    case("top_p is a share of what min_p leaves", min_p=0.3, top_p=0.8),
    case("all three filters at a temperature", top_k=5, min_p=0.1, top_p=0.85, temperature=1.5),
    case("a bias lifts an unlikely token", logit_bias=((4, 4.0), (2, -1.0))),
    case("what prompt or answer has is repeated less; a negative logit grows more negative",
         repetition_penalty=1.8, prompt=(2, 1, 1), answer=(5,)),
    case("a penalty below one is a reward", repetition_penalty=0.6, prompt=(0,), answer=(4, 4)),
    case("presence counts the answer, once, and not the prompt",
         presence_penalty=1.2, prompt=(2, 2), answer=(5, 5, 0)),
    case("frequency counts the answer, each time, and not the prompt",
         frequency_penalty=0.7, prompt=(2, 2), answer=(5, 5, 0)),
    case("the bias comes before the repetition penalty",
         logit_bias=((1, 1.5), (2, 1.0)), repetition_penalty=2.0, prompt=(1, 2)),
    case("penalties come before filters", presence_penalty=2.0, answer=(2,), top_k=2),
    case("a banned token does not come, and the others share its part", banned=(2, 6)),
    case("a grammar leaves three", allowed=(1, 3, 4)),
    case("a grammar leaves one that the filters alone would drop", allowed=(4,), top_k=2, temperature=2.0),
    case("filters look at what a grammar leaves", allowed=(0, 1, 3, 4), top_p=0.7),
    case("a ban counts among what a grammar leaves", allowed=(1, 3, 4), banned=(3,)),
    case("where grammar and ban leave nothing, the grammar wins", allowed=(1, 3), banned=(1, 2, 3)),
    case("everything at once",
         temperature=1.3, top_k=6, top_p=0.95, min_p=0.02, repetition_penalty=1.2, presence_penalty=0.3,
         frequency_penalty=0.2, logit_bias=((4, 2.0),), prompt=(0, 1), answer=(2, 2, 5), banned=(3,)),
]  # fmt: skip
SENTENCES = [one.sentence for one in CASES]

Tamper = Callable[[list[Draw]], list[Draw]]


def counts(cases: Sequence[Case], num_draws: int, tamper: Tamper = list) -> np.ndarray:
    """How often each case drew each token, `[cases, tokens]`; every batch holds draws of all cases."""
    found = np.zeros((len(cases), len(LOGITS)), dtype=np.int64)
    patterns = [one.draw(0, 0, len(LOGITS)) for one in cases]
    logits = torch.from_numpy(LOGITS).expand(CHUNK * len(cases), -1)
    places = np.tile(np.arange(len(cases)), CHUNK)
    for number in range(num_draws // CHUNK):
        draws = [Draw(0, one[1], row, number, *one[4:]) for row, one in enumerate(patterns * CHUNK)]
        np.add.at(found, (places, np.array(choose.tokens(logits, tamper(draws)))), 1)
    return found


def p_values(cases: Sequence[Case], num_draws: int, tamper: Tamper = list) -> dict[str, float]:
    return {
        one.sentence: sampling_law.p_value(row, sampling_law.law(LOGITS, one))
        for one, row in zip(cases, counts(cases, num_draws, tamper), strict=True)
    }
