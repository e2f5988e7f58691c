"""Text to token ids and back, from a folder's tokenizer.json. No torch here: the HTTP front uses it too."""

import codecs
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from kvring_node.model import chat_template
from kvring_node.model.chat_template import ChatTemplate, TemplateError
from kvring_node.model.config import read_json_if_there
from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.model.spelling import Spelling

INCOMPLETE = "�"
"""What decoders write for bytes that are no character, or only the start of one."""
MOST_HELD = 3
"""A character of UTF-8 has at most one byte more, so that many tokens."""
CONTEXT_TOKENS = 8
"""Of a prompt's end: enough to begin and end within a character, with text between."""


class Tokenizer:
    """Encodes prompts, applies the chat template, decodes answers."""

    def __init__(self, folder: Path, strftime_now: Callable[[str], str] = time.strftime):
        """Reads tokenizer.json, special_tokens_map.json, tokenizer_config.json and chat_template.jinja.

        Raises:
            ModelError: tokenizer.json is missing, or one of them is broken.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(
                ModelFault.INCOMPLETE,
                f"{path} is missing; fetch the whole model folder, or let transformers make it of what is "
                "there (AutoTokenizer.from_pretrained(folder).save_pretrained(folder))",
            )
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for every broken file
            raise ModelError(
                ModelFault.CORRUPT, f"{path} cannot be read ({error}); fetch it again"
            ) from error
        # A tokenizer may remember how its training data was cut; a prompt is taken as it is.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        config = read_json_if_there(folder / "tokenizer_config.json")
        settings = read_json_if_there(folder / "special_tokens_map.json") | config
        named = _named_tokens(settings)
        _make_special(self._tokenizer, {*named.values()}, _listed_tokens(settings))
        self._spelling = Spelling(self._tokenizer)
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = frozenset(token_id for token_id, token in added.items() if token.special)
        self._eos_token = named.get("eos_token")
        source = chat_template.source_in(folder, config)
        self._template = None if source is None else ChatTemplate(source, named, strftime_now)

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The token that it calls the end of a text, if it names one."""
        token_id = self._tokenizer.token_to_id(self._eos_token) if self._eos_token else None
        return frozenset() if token_id is None else frozenset({token_id})

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a prompt, with the special tokens that the model wants around it."""
        return self._ids(text, add_special_tokens=add_special_tokens)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        /,
        *,
        add_special_tokens: bool = False,
        **variables: Any,
    ) -> list[int]:
        """Token ids of a conversation, ready for the assistant's answer.

        Raises:
            TemplateError: the model has no chat template, or the template refuses the messages.
        """
        rendered = self.render_chat(messages, **variables)
        return self._ids(rendered, add_special_tokens=add_special_tokens)

    def render_chat(self, messages: Sequence[Mapping[str, Any]], /, **variables: Any) -> str:
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

    def has_text(self, token_id: int) -> bool:
        """Whether an answer shows it: special tokens and unknown ones have none."""
        return token_id not in self._special and self._tokenizer.id_to_token(token_id) is not None

    def detokenizer(self, prompt: Sequence[int]) -> "Detokenizer":
        """A fresh incremental decoder for an answer to `prompt`."""
        return Detokenizer(self, prompt)


class Detokenizer:
    """Text of a growing list of tokens: all pushes and the flush together are what they add to the prompt's.

    Only a window is decoded again: tokens whose text is out already, kept because decoders treat the first
    token of a text differently (many take a space off it), and tokens whose text is not. While the window
    ends in what may become a character, that is held back.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]):
        self._tokenizer = tokenizer
        before = itertools.islice(filter(tokenizer.has_text, reversed(prompt)), CONTEXT_TOKENS)
        self._window, self._num_settled = _whole_characters([*before][::-1], tokenizer.spell)
        self._sent = tokenizer.decode(self._window)

    def push(self, token_ids: Sequence[int]) -> str:
        """Text that became certain with these tokens; may be empty."""
        self._window += filter(self._tokenizer.has_text, token_ids)
        newest = len(self._window)
        for end in range(newest, max(newest - MOST_HELD, self._num_settled), -1):
            new = self._text(end)
            if not new.endswith(INCOMPLETE):
                return self._settled(end, new)
        # Among more tokens than any character begins with are wrong bytes: they stay so, whatever comes.
        end = max(newest - MOST_HELD, self._num_settled)
        new = self._text(end)
        return self._settled(end, new) if self._text(newest).startswith(new) else ""

    def flush(self) -> str:
        """What is held back, for when no more tokens come."""
        return self._text(len(self._window))

    def _text(self, end: int) -> str:
        """What the window up to `end` adds to what is out."""
        text = self._tokenizer.decode(self._window[:end])
        if text.startswith(self._sent):
            return text[len(self._sent) :]
        # The answer ends a character that the prompt began. Or byte fallback: one wrong byte makes INCOMPLETE
        # of the whole run of bytes, also of what is out.
        return self._tokenizer.decode(self._window[self._num_settled : end])

    def _settled(self, end: int, new: str) -> str:
        """`new`, which is all up to `end` and out now: what was new becomes the context of what comes."""
        if new:
            self._window = self._window[self._num_settled :]
            self._num_settled = end - self._num_settled
            self._sent = self._tokenizer.decode(self._window[: self._num_settled])
        return new


def _whole_characters(tail: list[int], spell: Callable[[int], bytes]) -> tuple[list[int], int]:
    """`tail` from where a character begins, and how many of its tokens are before one that has begun."""
    spelled = [spell(token_id) for token_id in tail]
    first = next((at for at, token in enumerate(spelled) if not 0x80 <= (token or b"a")[0] < 0xC0), 0)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(b"".join(spelled))
    num_begun = len(decoder.getstate()[0])
    num_whole = len(tail)
    while num_begun > 0:
        num_whole -= 1
        num_begun -= len(spelled[num_whole])
    return tail[first:], max(num_whole - first, 0)


def _make_special(tokenizer: tokenizers.Tokenizer, named: set[str], listed: set[str]) -> None:
    """Those of the vocabulary, as transformers does: tokenizer.json may hold them as words like any other."""
    added = {token.content: token for token in tokenizer.get_added_tokens_decoder().values()}
    for text in named | (listed - added.keys()):
        token = added.get(text, tokenizers.AddedToken(text, normalized=False))
        if not token.special and tokenizer.token_to_id(text) is not None:
            token.special = True
            tokenizer.add_special_tokens([token])


def _named_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """Special tokens that have a name, by which a template may call them."""
    extra = settings.get("extra_special_tokens")
    values = {name: value for name, value in settings.items() if name.endswith("_token")}
    values |= extra if isinstance(extra, dict) else {}
    texts = {name: _text(value) for name, value in values.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _listed_tokens(settings: Mapping[str, Any]) -> set[str]:
    """Special tokens without a name."""
    lists = settings.get("additional_special_tokens"), settings.get("extra_special_tokens")
    tokens = [token for one in lists if isinstance(one, list) for token in one]
    return {text for text in map(_text, tokens) if text is not None}


def _text(token: Any) -> str | None:
    """Of a token that stands there as text, or as an object with its properties."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None
