"""What the brain asks of the rest of the house."""

from collections.abc import Callable, Collection
from collections.abc import Sequence as Ordered
from typing import Protocol

from kvring_node.batch import Batch, Chunk, Drawn
from kvring_node.messages import Grammar
from kvring_node.sequence import GrammarState, Sequence


class Runner(Protocol):
    """Computes a batch on a device."""

    def run(self, batch: Batch) -> Drawn:
        """Copies pages, writes keys and values of all tokens to theirs, and makes the draws, in order.

        In each layer all are written before any are read: a sequence may hold pages that others fill.
        """
        ...


class Strategy(Protocol):
    """Who goes first: the waiting line, and whose pages are taken when none is left.

    A sequence is pushed; then admitted, and pushed back whenever it loses its pages; and removed in the end.
    Made with a clock. It never looks at pages or budgets: whatever it says, every request ends.
    """

    def push(self, sequence: Sequence) -> None:
        """A new sequence arrives."""
        ...

    def push_back(self, sequence: Sequence) -> None:
        """A sequence that ran waits again, or one joins that has just forked off a running one."""
        ...

    def peek(self) -> Sequence | None:
        """The next to be admitted; it stays in line."""
        ...

    def admit(self, sequence: Sequence) -> None:
        """A sequence of this line leaves it and runs. It knows what it must compute: its pages are there."""
        ...

    def remove(self, sequence: Sequence) -> None:
        """A sequence has ended, or its client went away, whether it waits or runs."""
        ...

    def victim(self, running: Collection[Sequence]) -> Sequence:
        """Whose pages are taken, of at least one that runs.

        Between two sequences the answer never changes, so that they do not push each other out in turns; and
        later arrivals are spared before an earlier one for a limited time only, so that it ends, too.
        """
        ...

    def observe(self, chunks: Ordered[Chunk], duration_s: float) -> None:
        """A step has computed these chunks in so much time; progress is not counted in them yet."""
        ...

    def __len__(self) -> int:
        """How many wait."""
        ...


Prepared = Callable[[], GrammarState]
"""Gives a form that is ready, or raises ValueError as `Grammars.start` does."""


class Grammars(Protocol):
    """Forms that answers may be held to."""

    def warm_up(self) -> None:
        """Reads what the first form needs: it can take seconds, in which no thread of the process turns."""
        ...

    def start(self, grammar: Grammar) -> GrammarState:
        """The state before the first token. It may take a second; one thread at a time may ask.

        Raises:
            ValueError: the form cannot be read, or not be held with this model; the message says why.
        """
        ...

    def recall(self, grammar: Grammar) -> Prepared | None:
        """What `start` would do, for a form that it can start at once; from any thread."""
        ...


class Codec(Protocol):
    """Text to token ids and back, for callers who embed the engine."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, with the special tokens that the model wants around it."""
        ...

    def detokenizer(self, prompt: Ordered[int]) -> "TextStream":
        """A fresh incremental decoder for an answer to `prompt`, whose text goes on where that ends."""
        ...


class TextStream(Protocol):
    """Text of a growing sequence of tokens."""

    def push(self, token_ids: list[int]) -> str:
        """Text that became certain with these tokens; what may still change is held back."""
        ...

    def flush(self) -> str:
        """What was held back, when no more tokens come."""
        ...
