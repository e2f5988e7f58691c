"""The forms of one model: compiled by llguidance, tried in another process first, kept while in use.

Nothing is imported, read or started before `warm_up` or the first form.
"""

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kvring_node.grammars.limits import make_limits
from kvring_node.grammars.state import MatcherState
from kvring_node.grammars.trial import Trial
from kvring_node.messages import Grammar, GrammarKind

if TYPE_CHECKING:
    import llguidance

WHITESPACE = r"[\x20\x0A\x0D\x09]{1,20}"
"""Between the parts of a JSON answer, at most: a model that may go on for ever sometimes does."""

NUM_KEPT = 64
"""So many forms are remembered, compiled or refused, the last used ones: servers see few, and each often."""


class Grammars:
    """Forms that answers of one model may be held to."""

    def __init__(self, folder: Path, vocab_size: int, eos_token_ids: frozenset[int]):
        """The tokenizer in `folder` says what each token spells."""
        self._folder = folder
        self._vocab_size = vocab_size
        self._eos_token_ids = eos_token_ids
        self._trial = Trial()
        self._outcomes: dict[Grammar, llguidance.LLMatcher | str] = {}  # the last used ones last
        self._lock = threading.Lock()  # for them

    def warm_up(self) -> None:
        """Reads the tokenizer, which takes seconds for a large one, if there can be forms at all."""
        if self._eos_token_ids:
            _ = self._tokenizer

    def start(self, grammar: Grammar) -> MatcherState:
        """The state before the first token. It may take a second; one thread at a time may ask.

        Raises:
            ValueError: the form cannot be read, takes too much, or this model cannot be held to any.
        """
        if not self._eos_token_ids:
            raise ValueError("this model names no end-of-text token, so no form could ever be completed")
        outcome = self._remembered(grammar) or self._try(grammar)
        with self._lock:
            self._outcomes[grammar] = outcome
            if len(self._outcomes) > NUM_KEPT:
                del self._outcomes[next(iter(self._outcomes))]
        return self._state(outcome)

    def recall(self, grammar: Grammar) -> Callable[[], MatcherState] | None:
        """What `start` would do, for a form that is remembered; from any thread."""
        outcome = self._remembered(grammar)
        return None if outcome is None else functools.partial(self._state, outcome)

    def _remembered(self, grammar: Grammar) -> "llguidance.LLMatcher | str | None":
        with self._lock:
            outcome = self._outcomes.pop(grammar, None)
            if outcome is not None:
                self._outcomes[grammar] = outcome
            return outcome

    def _state(self, outcome: "llguidance.LLMatcher | str") -> MatcherState:
        if isinstance(outcome, str):
            raise ValueError(outcome)
        return MatcherState(outcome.deep_copy(), self._eos_token_ids)

    def _try(self, grammar: Grammar) -> "llguidance.LLMatcher | str":
        """The form compiled, or why it cannot be: both are worth remembering."""
        try:
            return self._compile(grammar)
        except ValueError as error:
            return str(error)

    def _compile(self, grammar: Grammar) -> "llguidance.LLMatcher":
        import llguidance

        text = _readable(grammar)
        self._trial.check(grammar.kind, text)
        tokenizer = self._tokenizer
        if isinstance(tokenizer, str):
            raise ValueError(tokenizer)
        matcher = llguidance.LLMatcher(tokenizer, text, log_level=0, limits=make_limits())
        matcher.compute_bitmask()  # some grow too large with this model's tokens, and only now
        if matcher.is_error():
            raise ValueError(f"the {grammar.kind} cannot be used: {matcher.get_error()}")
        return matcher

    @functools.cached_property
    def _tokenizer(self) -> "llguidance.LLTokenizer | str":
        """Or why there is none."""
        import llguidance

        text = (self._folder / "tokenizer.json").read_text(encoding="utf-8")
        try:
            return llguidance.LLTokenizer(
                text, n_vocab=self._vocab_size, eos_token=sorted(self._eos_token_ids)
            )
        except ValueError as error:
            return f"this model's tokenizer cannot be held to a form ({error}); ask without one"


def _readable(grammar: Grammar) -> str:
    """The form as llguidance reads it."""
    from llguidance import LLMatcher

    match grammar.kind:
        case GrammarKind.JSON_SCHEMA:
            try:
                return LLMatcher.grammar_from_json_schema(
                    grammar.text, defaults={"whitespace_pattern": WHITESPACE}
                )
            except ValueError as error:
                raise ValueError(f"the json_schema must be a JSON object: {error}") from error
        case GrammarKind.REGEX:
            return LLMatcher.grammar_from_regex(grammar.text)
        case GrammarKind.LARK:
            return LLMatcher.grammar_from_lark(grammar.text)
