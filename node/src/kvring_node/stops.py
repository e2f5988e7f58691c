"""Stop strings, exact across the borders of the pieces in which text arrives."""

from collections.abc import Sequence


class StopMatcher:
    """Passes text through up to the first stop string, which is left out, or with `keeps` is the end.

    Text that may still turn out to be the beginning of a stop string is held back; never more than the
    longest stop string less one character.
    """

    def __init__(self, stops: Sequence[str], *, keeps: bool = False) -> None:
        self.stops = tuple(stops)
        self.keeps = keeps
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str, *, may_end: bool = True) -> str:
        """The text now sure to be part of the answer; `matched` is the stop string that ended it, if any.

        Without `may_end` a stop string that this text completes is text like any other.
        """
        if not self.stops:
            return text
        num_held, text = len(self._held), self._held + text
        # The stop string that is complete first wins, then the longer one: however the text is cut.
        matches = [
            (at + len(stop), at)
            for stop in self.stops
            if (at := text.find(stop, max(num_held - len(stop) + 1, 0))) >= 0
        ]
        if matches and may_end:
            end, start = min(matches)
            self.matched, self._held = text[start:end], ""
            return text[: end if self.keeps else start]
        num_held = max(_overlap(text, stop) for stop in self.stops)
        sure, self._held = text[: len(text) - num_held], text[len(text) - num_held :]
        return sure

    def flush(self) -> str:
        """The answer ended otherwise: what was held back belongs to it."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper prefix of `stop` that ends `text`."""
    longest = min(len(stop) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
