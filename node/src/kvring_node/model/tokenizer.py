"""Text to token ids and back, from a folder's tokenizer.json. No torch here: the HTTP front uses it too."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from kvring_node.model import chat_template
from kvring_node.model.chat_template import ChatTemplate, TemplateError
from kvring_node.model.config import read_json
from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.model.spelling import Spelling

INCOMPLETE = "�"
"""What decoders write for bytes that are no character, or only the start of one."""


class Tokenizer:
    """Encodes prompts, applies the chat template, decodes answers."""

    def __init__(self, folder: Path, strftime_now: Callable[[str], str] = time.strftime):
        """Reads tokenizer.json, tokenizer_config.json and chat_template.jinja.

        Raises:
            ModelError: tokenizer.json is missing, or one of them is broken.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(ModelFault.INCOMPLETE, f"{path} is missing; fetch the whole model folder")
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for every broken file
            raise ModelError(
                ModelFault.CORRUPT, f"{path} cannot be read ({error}); fetch it again"
            ) from error
        # A tokenizer may remember how its training data was cut; a prompt is taken as it is.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._spelling = Spelling(self._tokenizer)
        settings = folder / "tokenizer_config.json"
        config = read_json(settings) if settings.exists() else {}
        special_tokens = {name: _text(value) for name, value in config.items() if name.endswith("_token")}
        named = {name: text for name, text in special_tokens.items() if isinstance(text, str)}
        source = chat_template.source_in(folder, config)
        self._template = None if source is None else ChatTemplate(source, named, strftime_now)

    @property
    def has_chat_template(self) -> bool:
        """Whether `encode_chat` can be used."""
        return self._template is not None

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a prompt, with the special tokens that the model wants around it."""
        return self._ids(text, add_special_tokens=add_special_tokens)

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], /, *, add_special_tokens: bool = False, **variables: Any
    ) -> list[int]:
        """Token ids of a conversation, ready for the assistant's answer.

        Raises:
            TemplateError: the model has no chat template, or the template refuses the messages.
        """
        rendered = self.render_chat(messages, **variables)
        return self._ids(rendered, add_special_tokens=add_special_tokens)

    def render_chat(self, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """The text that `encode_chat` encodes.

        Raises:
            TemplateError: see `encode_chat`.
        """
        if self._template is None:
            raise TemplateError("this model has no chat template; use /v1/completions instead")
        return self._template.render(messages, **variables)

    def _ids(self, text: str, *, add_special_tokens: bool) -> list[int]:
        # A batch of one: `encode` keeps the interpreter's lock, this gives it back while a long text is cut.
        batch = self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        ids: list[int] = batch[0].ids
        return ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of tokens; special ones have none, unless it is asked for."""
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)
        return text

    def spell(self, token_id: int) -> bytes:
        """What one token spells, byte for byte: perhaps half a character. Nothing for an unknown one."""
        return self._spelling.spell(token_id)

    def detokenizer(self) -> "Detokenizer":
        """A fresh incremental decoder."""
        return Detokenizer(self)


class Detokenizer:
    """Text of a growing list of tokens: all pushes and the flush together are the text of all tokens.

    Only a window is decoded again: tokens whose text is out already, kept because decoders treat the first
    token of a text differently, and tokens whose text is not. While the window ends in no whole character,
    all that is new is held back.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._window: list[int] = []
        self._num_settled = 0
        self._sent = ""

    def push(self, token_ids: Sequence[int]) -> str:
        """Text that became certain with these tokens; may be empty."""
        self._window += token_ids
        new = self.flush()
        if not new or new.endswith(INCOMPLETE):
            return ""
        # Everything is out: what was new becomes the context of what comes.
        self._window = self._window[self._num_settled :]
        self._num_settled = len(self._window)
        self._sent = self._tokenizer.decode(self._window)
        return new

    def flush(self) -> str:
        """What is held back, for when no more tokens come."""
        text = self._tokenizer.decode(self._window)
        if text.startswith(self._sent):
            return text[len(self._sent) :]
        # Byte fallback: one wrong byte makes INCOMPLETE of the whole run of bytes, also of what is out.
        return self._tokenizer.decode(self._window[self._num_settled :])


def _text(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token
