"""The engine's log probabilities in OpenAI's two shapes and in vLLM's, with tokens spelled out."""

import codecs
from collections.abc import Callable, Iterable

from kvring_node.messages import TokenLogprobs
from kvring_node.web import responses

Spell = Callable[[int], bytes]
"""What one token spells, byte for byte."""

LEAST = -9999.0
"""Stands for minus infinity, which JSON cannot say; vLLM's choice."""


class Completion:
    """One choice of a completion, piece after piece: its text offsets go on where the last piece ended."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._num_chars = 0

    def of(self, tokens: Iterable[tuple[int, TokenLogprobs | None]]) -> responses.CompletionLogprobs:
        """For the next tokens; nothing is known of a prompt's first one."""
        made = responses.CompletionLogprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])
        for token_id, scored in tokens:
            spelled = self._spell(token_id)
            made.tokens.append(_text(spelled))
            made.token_logprobs.append(_finite(scored.logprob) if scored else None)
            made.top_logprobs.append(self._ranked(scored) if scored else None)
            made.text_offset.append(self._num_chars)
            self._num_chars += len(self._decode(spelled))
        return made

    def _ranked(self, scored: TokenLogprobs) -> dict[str, float]:
        """As OpenAI: the token itself is among them even when it is none of the likeliest."""
        ranked = {_text(self._spell(i)): _finite(logprob) for i, logprob in scored.top}
        ranked.setdefault(_text(self._spell(scored.token_id)), _finite(scored.logprob))
        return ranked


def chat(scored: Iterable[TokenLogprobs], spell: Spell) -> responses.ChatLogprobs:
    """For tokens of a chat's answer."""
    return responses.ChatLogprobs(content=[_scored(one, spell) for one in scored])


def prompt(scored: Iterable[TokenLogprobs], spell: Spell) -> responses.PromptLogprobs:
    """VLLM's `prompt_logprobs`."""
    return [None, *(_by_id(one, spell) for one in scored)]


def _by_id(one: TokenLogprobs, spell: Spell) -> dict[str, responses.PromptLogprob]:
    ranked = [(rank, i, logprob) for rank, (i, logprob) in enumerate(one.top, start=1)]
    own = (one.rank, one.token_id, one.logprob)
    return {
        str(i): responses.PromptLogprob(logprob=_finite(logprob), rank=rank, decoded_token=_text(spell(i)))
        for rank, i, logprob in (*ranked, own)
    }


def _scored(one: TokenLogprobs, spell: Spell) -> responses.TokenLogprob:
    spelled = spell(one.token_id)
    return responses.TokenLogprob(
        token=spelled.decode("utf-8", "replace"),
        logprob=_finite(one.logprob),
        bytes=[*spelled],
        top_logprobs=[_rival(spell(i), logprob) for i, logprob in one.top],
    )


def _rival(spelled: bytes, logprob: float) -> responses.TopLogprob:
    token = spelled.decode("utf-8", "replace")
    return responses.TopLogprob(token=token, logprob=_finite(logprob), bytes=[*spelled])


def _text(spelled: bytes) -> str:
    """OpenAI's way to write half a character keeps two of them apart."""
    try:
        return spelled.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelled)


def _finite(logprob: float) -> float:
    return max(logprob, LEAST)
