"""What the brain asks of the rest of the house."""

from typing import Protocol

from kvring_node.batch import Batch
from kvring_node.sequence import Sequence


class Runner(Protocol):
    """Computes a batch on a device."""

    def run(self, batch: Batch) -> list[int]:
        """Writes keys and values of all tokens to their pages; gives a new token for each draw, in order."""
        ...


class Strategy(Protocol):
    """The waiting line: who is admitted next."""

    def push(self, sequence: Sequence) -> None:
        """A new sequence arrives."""
        ...

    def push_back(self, sequence: Sequence) -> None:
        """A sequence that ran lost its pages; it goes before all that never ran."""
        ...

    def peek(self) -> Sequence | None:
        """The next to be admitted; it stays in line."""
        ...

    def remove(self, sequence: Sequence) -> None:
        """A sequence of this line leaves it: admitted, or its client went away."""
        ...

    def __len__(self) -> int:
        """How many wait."""
        ...


class Codec(Protocol):
    """Text to token ids and back, for callers who embed the engine."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, with the special tokens that the model wants around it."""
        ...

    def detokenizer(self) -> "TextStream":
        """A fresh incremental decoder for one sequence."""
        ...


class TextStream(Protocol):
    """Text of a growing sequence of tokens."""

    def push(self, token_ids: list[int]) -> str:
        """Text that became certain with these tokens; what may still change is held back."""
        ...

    def flush(self) -> str:
        """What was held back, when no more tokens come."""
        ...
