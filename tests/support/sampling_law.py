"""The exact law of the next token, written down the slow and obvious way, and a statistic to judge draws by.

Each step of the law is a function of its own, so that a planted bug is a changed list of steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.stats

from kvring_node.batch import Draw
from kvring_node.messages import SamplingParams


class FixedForm:
    """A grammar's state that allows the same tokens for ever."""

    is_lost = False

    def __init__(self, allowed: Sequence[int], vocab_size: int):
        self.allowed = frozenset(allowed)
        bits = np.zeros(-(-vocab_size // 32) * 32, dtype=np.uint8)
        bits[list(allowed)] = 1
        self._words = np.packbits(bits, bitorder="little").view(np.int32)

    def bitmask(self) -> np.ndarray:
        return self._words

    def accept(self, token_id: int) -> None:
        assert token_id in self.allowed

    def fork(self) -> "FixedForm":
        return self


@dataclass(frozen=True)
class Case:
    """One way to draw, and what the sequence has said before."""

    sentence: str
    params: SamplingParams = field(default_factory=SamplingParams)
    prompt: tuple[int, ...] = ()
    answer: tuple[int, ...] = ()
    banned: frozenset[int] = frozenset()
    allowed: tuple[int, ...] | None = None

    def draw(self, seed: int, number: int, vocab_size: int) -> Draw:
        """The draw that should follow the case's law."""
        form = None if self.allowed is None else FixedForm(self.allowed, vocab_size)
        known = (*self.prompt, *self.answer)
        return Draw(0, self.params, seed, number, known, len(self.prompt), self.banned, form)


Step = Callable[[np.ndarray, Case], np.ndarray]
"""Changes logits; minus infinity is a token that cannot come."""


def bias(logits: np.ndarray, case: Case) -> np.ndarray:
    for token_id, number in case.params.logit_bias:
        logits[token_id] += number
    return logits


def repetition(logits: np.ndarray, case: Case) -> np.ndarray:
    for token_id in {*case.prompt, *case.answer}:
        if logits[token_id] > 0:
            logits[token_id] /= case.params.repetition_penalty
        else:
            logits[token_id] *= case.params.repetition_penalty
    return logits


def frequency(logits: np.ndarray, case: Case) -> np.ndarray:
    for token_id in case.answer:
        logits[token_id] -= case.params.frequency_penalty
    return logits


def presence(logits: np.ndarray, case: Case) -> np.ndarray:
    for token_id in set(case.answer):
        logits[token_id] -= case.params.presence_penalty
    return logits


def forbid(logits: np.ndarray, case: Case) -> np.ndarray:
    allowed = set(range(len(logits)) if case.allowed is None else case.allowed)
    for token_id in range(len(logits)):
        if token_id not in (allowed - case.banned or allowed):
            logits[token_id] = -np.inf
    return logits


def temperature(logits: np.ndarray, case: Case) -> np.ndarray:
    if case.params.temperature > 0:
        return logits / case.params.temperature
    return keep(logits, [int(logits.argmax())])


def min_p(logits: np.ndarray, case: Case) -> np.ndarray:
    probabilities = softmax(logits)
    return keep(logits, np.flatnonzero(probabilities >= case.params.min_p * probabilities.max()))


def top_k(logits: np.ndarray, case: Case) -> np.ndarray:
    return keep(logits, order(logits)[: case.params.top_k or None])


def top_p(logits: np.ndarray, case: Case) -> np.ndarray:
    probabilities = softmax(logits)
    kept, total = [], 0.0
    for token_id in order(logits):
        if total >= case.params.top_p:
            break
        kept.append(token_id)
        total += probabilities[token_id]
    return keep(logits, kept)


STEPS: tuple[Step, ...] = (
    bias, repetition, frequency, presence, forbid, temperature, min_p, top_k, top_p
)  # fmt: skip


def law(logits: np.ndarray, case: Case, steps: Sequence[Step] = STEPS) -> np.ndarray:
    """Probabilities of all tokens."""
    logits = logits.astype(np.float64)
    for step in steps:
        logits = step(logits, case)
    return softmax(logits)


def order(logits: np.ndarray) -> np.ndarray:
    """Tokens from the likeliest on, lower ids first among equals."""
    return np.argsort(-logits, kind="stable")


def keep(logits: np.ndarray, kept: Sequence[int] | np.ndarray) -> np.ndarray:
    """Nothing but `kept` can come."""
    rest = np.full_like(logits, -np.inf)
    rest[kept] = logits[kept]
    return rest


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    shares: np.ndarray = weights / weights.sum()
    return shares


def p_value(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """How often draws from `probabilities` stray at least as far as `counts`: Pearson's chi-square test."""
    possible = probabilities > 0
    if counts[~possible].any():
        return 0.0
    want = probabilities[possible] * counts.sum()
    statistic = ((counts[possible] - want) ** 2 / want).sum()
    return float(scipy.stats.chi2.sf(statistic, max(int(possible.sum()) - 1, 1)))
