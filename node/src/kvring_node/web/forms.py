"""Forms that an answer may be held to: OpenAI's `response_format`, and vLLM's fields of both generations."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from kvring_node.messages import Grammar, GrammarKind
from kvring_node.web.errors import ApiError
from kvring_node.web.harmless import only

Schema = dict[str, Any] | str
"""A JSON schema, as an object or as text."""
Choices = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]


class TextFormat(msgspec.Struct, tag="text", forbid_unknown_fields=True):
    """Any text."""


class JsonObjectFormat(msgspec.Struct, tag="json_object", forbid_unknown_fields=True):
    """Any JSON object."""


class NamedSchema(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """OpenAI's wrapping of a JSON schema; `strict` changes nothing, answers always fit."""

    name: str = ""
    description: str | None = None
    schema: dict[str, Any]
    strict: bool | None = None


class JsonSchemaFormat(msgspec.Struct, tag="json_schema", forbid_unknown_fields=True):
    """JSON of one schema."""

    json_schema: NamedSchema


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat


LarkGrammar = Annotated[str, Meta(description="rules in Lark's syntax, from `start: ...` on; not GBNF")]


class StructuredOutputs(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """vLLM's newer field: one of these."""

    json: Schema | None = None
    json_object: bool | None = None
    regex: str | None = None
    choice: Choices | None = None
    grammar: LarkGrammar | None = None
    structural_tag: Annotated[Any, only(None)] = None
    whitespace_pattern: Annotated[Any, only(None)] = None
    disable_fallback: Annotated[Any, only(None, False)] = None
    disable_any_whitespace: Annotated[Any, only(None, False)] = None
    disable_additional_properties: Annotated[Any, only(None, False)] = None


class Formed(Protocol):
    """The fields of a request that fix the form of its answers."""

    response_format: ResponseFormat | None
    structured_outputs: StructuredOutputs | None
    guided_json: Schema | None
    guided_regex: str | None
    guided_choice: Choices | None
    guided_grammar: LarkGrammar | None


def grammar(request: Formed) -> tuple[str, Grammar | None]:
    """The form that is asked for and the field that did; raises `ApiError` 400 for two at once."""
    asked = [*_asked(request)]
    if len(asked) > 1:
        fields = " and ".join(f"`{field}`" for field, _ in asked)
        raise ApiError(400, f"{fields} exclude each other; keep one", param=asked[1][0], code="invalid_value")
    return asked[0] if asked else ("response_format", None)


def _asked(request: Formed) -> Iterator[tuple[str, Grammar]]:
    match request.response_format:
        case JsonObjectFormat():
            yield "response_format", _OBJECT
        case JsonSchemaFormat(json_schema=named):
            yield "response_format", _json(named.schema)
    yield from _vllm(
        "guided_",
        request.guided_json,
        request.guided_regex,
        request.guided_choice,
        request.guided_grammar,
    )
    if (newer := request.structured_outputs) is not None:
        if newer.json_object:
            yield "structured_outputs.json_object", _OBJECT
        yield from _vllm("structured_outputs.", newer.json, newer.regex, newer.choice, newer.grammar)


def _vllm(
    prefix: str, schema: Schema | None, regex: str | None, choice: Choices | None, lark: str | None
) -> Iterator[tuple[str, Grammar]]:
    if schema is not None:
        yield f"{prefix}json", _json(schema)
    if regex is not None:
        yield f"{prefix}regex", Grammar(GrammarKind.REGEX, regex)
    if choice is not None:
        yield f"{prefix}choice", Grammar(GrammarKind.LARK, "start: " + " | ".join(map(json.dumps, choice)))
    if lark is not None:
        yield f"{prefix}grammar", Grammar(GrammarKind.LARK, lark)


def _json(schema: Schema) -> Grammar:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return Grammar(GrammarKind.JSON_SCHEMA, text)


_OBJECT = _json({"type": "object"})
