"""How far one answer has come in its form."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import llguidance


class MatcherState:
    """Implements `sequence.GrammarState` with a matcher of llguidance.

    A form may turn out too large for the limits only when an answer is half way through it. Then nothing but
    the end of text may come, and `is_lost` says that the answer is cut off rather than complete.
    """

    def __init__(self, matcher: "llguidance.LLMatcher", eos_token_ids: frozenset[int]):
        self._matcher = matcher
        self._eos_token_ids = eos_token_ids

    @property
    def is_lost(self) -> bool:
        """Whether the form was given up."""
        return self._matcher.is_error()

    def bitmask(self) -> npt.NDArray[np.int32]:
        """Which tokens may come next; the end of text when the form is complete, or was given up."""
        return np.frombuffer(self._matcher.compute_bitmask(), dtype=np.int32)

    def accept(self, token_id: int) -> None:
        """The answer goes on with this token, one that the mask allows."""
        if token_id not in self._eos_token_ids:
            self._matcher.consume_token(token_id)

    def fork(self) -> "MatcherState":
        """The same state, to go on by itself."""
        return MatcherState(self._matcher.deep_copy(), self._eos_token_ids)
