"""From an answer's tokens to its words: detokenised, and ended where a stop string begins."""

from collections.abc import Sequence
from typing import NamedTuple

from kvring_node.engine.ports import TextStream
from kvring_node.messages import FinishReason
from kvring_node.stops import StopMatcher


class Said(NamedTuple):
    """What tokens added to an answer: `num_tokens` of them, where the string `stop` ended it early."""

    text: str
    num_tokens: int
    finish_reason: FinishReason | None
    stop: str | None = None


class Wording:
    """One answer. Pushed together or one by one, the same tokens give the same words."""

    def __init__(
        self,
        detokenizer: TextStream,
        stops: Sequence[str],
        *,
        min_tokens: int = 0,
        keeps_stop: bool = False,
    ) -> None:
        """`min_tokens`: a stop string that is complete with these first tokens does not end the answer.

        `keeps_stop`: what ends the answer, a stop string or a token, is part of its text.
        """
        self._detokenizer = detokenizer
        self._min_tokens = min_tokens
        self._num_shown = 0
        self._stops = StopMatcher(stops, keeps=keeps_stop)

    def push(self, token_ids: Sequence[int], finish_reason: FinishReason | None) -> Said:
        """Tokens come, the answer's last ones or not; none may come after a finish reason.

        With STOP the last token is the one that the model, or a stop token id, ended with: it has no text.
        """
        silent = 1 if finish_reason is FinishReason.STOP and not self._stops.keeps else 0
        text, num_tokens = self._show(token_ids[: len(token_ids) - silent])
        if not self._stops.matched:
            num_tokens += silent
            if finish_reason is None:
                return Said(text, num_tokens, None)
            text += self._stops.push(self._detokenizer.flush(), may_end=self._may_end)
        if self._stops.matched:
            return Said(text, num_tokens, FinishReason.STOP, self._stops.matched)
        return Said(text + self._stops.flush(), num_tokens, finish_reason)

    @property
    def _may_end(self) -> bool:
        return self._num_shown > self._min_tokens

    def _show(self, token_ids: Sequence[int]) -> tuple[str, int]:
        if not self._stops.stops:
            return self._detokenizer.push(list(token_ids)), len(token_ids)
        text = ""
        # Token by token, so that what comes after a stop string is neither shown nor counted.
        for num_taken, token_id in enumerate(token_ids, start=1):
            self._num_shown += 1
            text += self._stops.push(self._detokenizer.push([token_id]), may_end=self._may_end)
            if self._stops.matched:
                return text, num_taken
        return text, len(token_ids)
