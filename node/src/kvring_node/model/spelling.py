"""What each token of a vocabulary spells, byte for byte."""

import re
from typing import Any

import tokenizers

_SPACE = "▁"
"""How SentencePiece writes a space."""
_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")


class Spelling:
    """Of one tokenizer. Its decoder cannot be asked: it shows whole texts, and half a character as U+FFFD."""

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        """How the vocabulary is written shows in what the decoder makes of three known words."""
        self._tokenizer = tokenizer
        self._added = {i: token.content for i, token in tokenizer.get_added_tokens_decoder().items()}
        decode: Any = tokenizer.decoder.decode if tokenizer.decoder else "".join
        self._has_bytes_as_letters = decode(["aĠa"]) == "a a"
        self._has_byte_tokens = decode(["a", "<0x41>"]) == "aA"
        self._has_marked_spaces = decode(["a", _SPACE + "a"]) == "a a"

    def spell(self, token_id: int) -> bytes:
        """A special token spells its name, an unknown one nothing."""
        if token_id in self._added:
            return self._added[token_id].encode()
        token: str = self._tokenizer.id_to_token(token_id) or ""
        if self._has_bytes_as_letters and _BYTE_OF.keys() >= set(token):
            return bytes(_BYTE_OF[letter] for letter in token)
        if self._has_byte_tokens and (found := _BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(found[1])
        return (token.replace(_SPACE, " ") if self._has_marked_spaces else token).encode()


def _byte_of_letter() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes are themselves, the others take the letters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_of_letter()
