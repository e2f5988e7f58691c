"""Tokens that must not come: a grammar does not allow them, or they would end an answer early."""

from collections.abc import Sequence

import numpy as np
import torch

from kvring_node.batch import Draw


def concern(draw: Draw) -> bool:
    """Whether `apply` would change its row."""
    return draw.grammar is not None or bool(draw.banned)


def apply(logits: torch.Tensor, draws: Sequence[Draw]) -> None:
    """Sets forbidden tokens of `logits [draws, vocab_size]` to minus infinity, in place."""
    rows = [row for row, draw in enumerate(draws) if concern(draw)]
    if rows:
        allowed = np.stack([_allowed(draws[row], logits.shape[1]) for row in rows])
        at = torch.tensor(rows, device=logits.device)
        forbidden = torch.from_numpy(~allowed).to(logits.device)
        logits[at] = logits[at].masked_fill(forbidden, float("-inf"))


def _allowed(draw: Draw, vocab_size: int) -> np.ndarray:
    """Booleans `[vocab_size]`, at least one of them true.

    When the answer is complete before `min_tokens`, only tokens that end it are left: the grammar wins, and
    the answer ends. An answer of the right form is worth more than one of the right length.
    """
    if draw.grammar is None:
        allowed = np.ones(vocab_size, dtype=np.bool_)
    else:
        words = draw.grammar.bitmask().view(np.uint8)
        allowed = np.unpackbits(words, bitorder="little")[:vocab_size].astype(np.bool_)
    if draw.banned:
        rest = allowed.copy()
        rest[[token_id for token_id in draw.banned if 0 <= token_id < vocab_size]] = False
        if rest.any():
            return rest
    return allowed
