"""A model's chat template: from turns of a conversation to the text that the model was trained on.

Jinja in a sandbox, since a template comes with the model, from strangers. Names, filters and tags are those
that transformers gives to templates.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.parser
import jinja2.sandbox

from kvring_node.model.errors import ModelError, ModelFault

_CONTINUED = "CONTINUE_FINAL_MESSAGE_TAG "
"""Marks the end of a message that the answer goes on with; transformers writes the same."""


class TemplateError(ValueError):
    """The chat template cannot be applied to these messages; the message is meant for the client."""


class ChatTemplate:
    """One template and the special tokens that it may name."""

    def __init__(
        self, source: str, special_tokens: Mapping[str, str], strftime_now: Callable[[str], str]
    ) -> None:
        """`strftime_now` formats the present moment: some templates tell the model what day it is.

        Raises:
            ModelError: the source is no template.
        """
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation]
        )
        environment.globals |= {"raise_exception": _raise, "strftime_now": strftime_now}
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise _broken(error) from error
        self._special_tokens = special_tokens

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        /,
        *,
        continue_final_message: bool = False,
        **variables: Any,
    ) -> str:
        """The conversation as one text, up to where the assistant's answer begins.

        With `continue_final_message` up to where the last message ends, without what closes it.

        Raises:
            TemplateError: the template refuses the messages, or fails on them.
        """
        if not continue_final_message:
            return self._render(messages, variables)
        *before, last = messages
        content = last["content"]
        text = self._render([*before, {**last, "content": content + _CONTINUED}], variables)
        shown, mark, after = text.rpartition(_CONTINUED.strip())
        if not mark or content.strip() not in shown:
            raise TemplateError("the model's chat template does not show the message that is to be continued")
        # Where the template trims a message, the mark has lost its space, and what stood before it its own.
        return shown if after.startswith(" ") else shown.rstrip()

    def _render(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
        always = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True}
        try:
            return self._template.render({**always, **self._special_tokens, **variables})
        except Exception as error:  # it is a program of strangers: it may fail in any way
            raise TemplateError(f"the model's chat template refuses these messages: {error}") from error


def source_in(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The template's text: chat_template.jinja, else what tokenizer_config.json has, if anything.

    Raises:
        ModelError: what is there is no text.
    """
    path = folder / "chat_template.jinja"
    try:
        source = path.read_text("utf-8") if path.exists() else config.get("chat_template")
        if isinstance(source, list):  # several named ones
            source = {entry["name"]: entry["template"] for entry in source}.get("default")
    except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise _broken(error) from error
    if not isinstance(source, str | None):
        raise _broken(TypeError(f"{source!r} is no text"))
    return source


class _Generation(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}` marks what to train on; here it is only text."""

    tags = frozenset({"generation"})  # type: ignore[assignment]  # jinja2 says set, and only looks into it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own escapes HTML, which no model wants to read."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _broken(error: Exception) -> ModelError:
    return ModelError(ModelFault.CORRUPT, f"the chat template cannot be read ({error}); fetch it again")
