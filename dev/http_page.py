"""docs/reference/http.md, from the structs that parse requests."""

import inspect
from typing import Any

import msgspec

from kvring_node.web import requests

Schema = dict[str, Any]

HEADER = """\
# What a node is asked over HTTP

Made from the structs that parse requests by `make manifests`; do not edit. A running node says the same, and
what it answers, at `/openapi.json`. A field that is not listed is refused by name.

Without a body there are GET `/v1/models`, `/v1/models/NAME`, `/health`, `/ready`, `/v1/health`, `/ping`,
`/version`, `/load`, `/metrics` and `/v1/metrics`; HEAD works wherever GET does. The header `X-Kvring-Tenant`
says whose a request is; `X-Request-Id` names it, and every answer has it.
"""

ROUTES: dict[str, type[msgspec.Struct]] = {
    "/v1/completions": requests.CompletionRequest,
    "/v1/chat/completions": requests.ChatCompletionRequest,
    "/v1/generate": requests.GenerateRequest,
    "/v1/batch": requests.BatchRequest,
    "/tokenize": requests.TokenizeRequest,
    "/detokenize": requests.DetokenizeRequest,
}


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join([HEADER, *(_section(path, struct) for path, struct in ROUTES.items())])


def _section(path: str, struct: type[msgspec.Struct]) -> str:
    _, schemas = msgspec.json.schema_components([struct], ref_template="{name}")
    schema = schemas[struct.__name__]
    required = schema["required"]
    rows = [
        f"| `{name}` | {_kind(field)} | {'required' if name in required else _note(field)} |"
        for name, field in sorted(schema["properties"].items(), key=lambda item: item[0] not in required)
    ]
    about = inspect.cleandoc(schema["description"]).removeprefix(f"POST {path}").lstrip(":. \n")
    return "\n".join(
        [
            f"## POST {path}\n",
            f"{about[0].upper()}{about[1:]}\n",
            "| field | value | |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _kind(field: Schema) -> str:
    """Type and bounds in a few words."""
    if "$ref" in field:
        return f"`{field['$ref']}`"
    if "anyOf" in field:
        kinds = [_kind(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kind = str(field.get("type", "anything"))
    if kind == "array":
        return f"list of {_kind(field['items'])}"
    if kind == "object" and "additionalProperties" in field:
        return f"map to {_kind(field['additionalProperties'])}"
    return kind + _bounds(field)


def _bounds(field: Schema) -> str:
    words = {
        "exclusiveMinimum": "above",
        "minimum": "from",
        "maximum": "to",
        "minLength": "at least",
        "maxLength": "at most",
    }
    said = [
        f"{word} {field[name]}" for name, word in words.items() if abs(field.get(name, 2**31)) < 2**31 - 1
    ]
    return f", {' '.join(said)}" if said else ""


def _note(field: Schema) -> str:
    described = [field, *field.get("anyOf", ())]
    notes = [one["description"] for one in described if "description" in one]
    default = field.get("default")
    return "; ".join([*notes, *([f"default `{default}`"] if default not in (None, False) else [])])
