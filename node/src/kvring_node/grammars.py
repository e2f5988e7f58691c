"""Forms that answers may be held to. Not in this build yet: every one is refused."""

from pathlib import Path

from kvring_node.messages import Grammar
from kvring_node.sequence import GrammarState


class Grammars:
    """Of one model."""

    def __init__(self, folder: Path, vocab_size: int, eos_token_ids: frozenset[int]):
        """The tokenizer in `folder` says what each token spells."""

    def start(self, grammar: Grammar) -> GrammarState:
        """Refuses."""
        raise ValueError(f"this build cannot hold an answer to a {grammar.kind}")
