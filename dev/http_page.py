"""docs/reference/http.md, from the structs that parse requests; routes without a body and errors by hand."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from kvring_node.web import errors, requests

Schema = dict[str, Any]

HEADER = f"""\
# What a node is asked over HTTP

Made from the structs that parse requests by `make manifests`; do not edit. A running node says the same, and
what it answers, at `/openapi.json`. A field that is not listed is refused by name. What may be left out has
OpenAI's default where OpenAI has the field: `n` 1, no stream, and `temperature` 1 and `top_p` 1 unless the
model's generation_config.json advises otherwise, on these or on `top_k`, `min_p` and `repetition_penalty`.

There is no authentication. The header `X-Kvring-Tenant` says whose a request is; `X-Request-Id` names it, and
every answer has it.

## Without a body

| route | answers |
| --- | --- |
| GET `/health`, `/v1/health`, `/ping`; POST `/ping` | 200 while the process can go on, also while it loads \
or drains; 503 when the engine has ended or is hung. For liveness probes |
| GET `/ready` | 200 while new requests are welcome; 503 while the node loads, drains or has failed. For \
readiness probes and load balancers |
| GET `/v1/models` | the model served; an empty list until it is loaded |
| GET `/v1/models/NAME` | the same model alone; 404 for another name, 503 until it is loaded |
| GET `/version` | the release |
| GET `/load` | `server_load`: answers in the making or waiting |
| GET `/metrics` | [metrics](metrics.md) for Prometheus |
| GET `/v1/metrics` | the most important ones as JSON |
| GET `/openapi.json` | this page for programs, with the shapes of all answers |

HEAD works wherever GET does. `/internal/v1/…` is the operator's, and signed with the pool's key.

## Errors

Every error is OpenAI's object; `param` names the field at fault and `message` says what to do:

```
{{"error": {{"message": "...", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}}}}
```

| status | code | means |
| --- | --- | --- |
| 400 | `invalid_value`, `missing_required_parameter` | a field is wrong or missing |
| 400 | `unknown_parameter`, `unsupported_parameter` | a field is unknown, or asks for what is not there |
| 400 | `context_length_exceeded` | the prompt, or it and `max_tokens`, is longer than the model takes |
| 400 | `invalid_json`, `invalid_message` | the body cannot be read |
| 401 | `bad_signature` | an internal call is not signed with the pool's key |
| 404 | `model_not_found`, `not_found` | another model is served here; no such path |
| 405 | `method_not_allowed` | the path takes another method |
| 413 | `body_too_large` | the body exceeds `--max-body-bytes` |
| 429 | `queue_full` | too many requests wait (`--max-waiting`); try again after `Retry-After` |
| 500 | `internal_error` | a fault of the server; its log has the details |
| 503 | `loading`, `draining`, `failed`, `unavailable` | not now, or not this node; try again after \
`Retry-After`, and a Service may pick another |
| 503 | `engine_dead`, `engine_hung` | the engine has ended or does not answer; the node restarts |

`Retry-After` is {errors.RETRY_AFTER_S} second. A stream sends its status with its first token, so until then
a refusal has its own; what fails later is an event with the error object, then `[DONE]`.
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
    _, schemas = msgspec.json.schema_components(list(ROUTES.values()), ref_template="{name}")
    bodies = {struct.__name__: path for path, struct in ROUTES.items()}
    parts = [HEADER]
    parts += [_section(f"POST {path}", schemas[name]) for name, path in bodies.items()]
    parts += ["## Objects in these\n"]
    parts += [_section(name, schemas[name], "###") for name in schemas if name not in bodies]
    return "\n".join(parts)


def _section(title: str, schema: Schema, mark: str = "##") -> str:
    required = schema.get("required", ())
    rows = [
        f"| `{name}` | {_kind(field)} | {_note(name, field, is_required=name in required)} |"
        for name, field in sorted(schema["properties"].items(), key=lambda item: item[0] not in required)
    ]
    about = inspect.cleandoc(schema["description"]).removeprefix(title).lstrip(":. \n")
    table = ["| field | value | |", "| --- | --- | --- |", *rows, ""]
    begin = about if about.startswith("vLLM") else about[0].upper() + about[1:]
    return "\n".join([f"{mark} {title}\n", f"{begin}\n", *table])


def _kind(field: Schema) -> str:
    """Type and bounds in a few words."""
    if "$ref" in field:
        return _link(field["$ref"].rpartition("/")[2])
    if "anyOf" in field:
        kinds = [_kind(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kind = str(field.get("type", "anything"))
    if kind == "array":
        return f"list{_bounds(field)} of {_kind(field['items'])}"
    if kind == "object" and "additionalProperties" in field:
        return f"map to {_kind(field['additionalProperties'])}"
    return kind + _bounds(field)


def _link(name: str) -> str:
    """To the section about a struct: one of a route's body bears the route's name."""
    path = next((path for path, struct in ROUTES.items() if struct.__name__ == name), None)
    title = f"POST {path}" if path else name
    return f"[{title}](#{title.lower().replace(' ', '-').replace('/', '')})"


def _bounds(field: Schema) -> str:
    """From what to what; the bounds of machine integers are none that a user meets."""
    words = {"exclusiveMinimum": "above", "minimum": "from", "maximum": "to"}
    numbers = [
        f"{word} {field[name]}" for name, word in words.items() if abs(field.get(name, 2**31)) < 2**31 - 1
    ]
    counts = (_count(field, "Length", "characters"), _count(field, "Items", "items"))
    said = " ".join(filter(None, (*numbers, *counts)))
    return f" ({said})" if said else ""


def _count(field: Schema, name: str, unit: str) -> str:
    match field.get(f"min{name}"), field.get(f"max{name}"):
        case None, None:
            return ""
        case least, None:
            return "not empty" if least == 1 else f"at least {least} {unit}"
        case None, most:
            return f"at most {most} {unit}"
        case least, most:
            return f"{least} to {most} {unit}"


def _note(name: str, field: Schema, *, is_required: bool) -> str:
    return "; ".join(_notes(name, field, is_required=is_required))


def _notes(name: str, field: Schema, *, is_required: bool) -> Iterator[str]:
    if is_required:
        yield "required"
    described = [field, *field.get("anyOf", ())]
    yield from (one["description"] for one in described if "description" in one)
    default = field.get("default")
    if default not in (None, False, 0):
        yield f"default `{json.dumps(default)}`"
