"""From the bytes of a request to a struct, or to an error that names the field."""

import re
from typing import TypeVar

import msgspec
from fastapi import Request
from fastapi.responses import Response

from kvring_node.web import schemas
from kvring_node.web.errors import ApiError

_T = TypeVar("_T")


async def read(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """The body of `request`; raises `ApiError` 400 when it is not what `decoder` takes."""
    body = await request.body()
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not valid UTF-8: {error.reason}", code="invalid_json") from error
    except msgspec.DecodeError as error:
        raise ApiError(400, f"the body is not valid JSON: {error}", code="invalid_json") from error
    except RecursionError as error:
        raise ApiError(400, "the body is nested too deeply", code="invalid_json") from error


def refuse_unsupported(request: schemas.OpenAIRequest) -> None:
    """Raise `ApiError` 400 when a field asks for something that this server does not do."""
    for name, harmless in schemas.HARMLESS.items():
        value = getattr(request, name, None)
        if value is not None and not any(_same(value, other) for other in harmless):
            raise ApiError(
                400,
                f"this server does not support `{name}` yet; leave it out",
                param=name,
                code="unsupported_parameter",
            )


def answer(body: msgspec.Struct, headers: dict[str, str] | None = None) -> Response:
    """A 200 response with `body` as JSON."""
    return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")


def _same(value: object, other: object) -> bool:
    # 0 and False are equal in Python and are not the same wish: `logprobs: 0` asks for something.
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _invalid(message: str) -> ApiError:
    what, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        name = f"{path}.{match[1]}".lstrip(".")
        return ApiError(
            400, f"Unrecognized request argument supplied: {name}", param=name, code="unknown_parameter"
        )
    if match := re.fullmatch(r"Object missing required field `(.*)`", what):
        name = f"{path}.{match[1]}".lstrip(".")
        return ApiError(
            400, f"Missing required parameter: {name}", param=name, code="missing_required_parameter"
        )
    return ApiError(
        400, f"Invalid value for {path or 'the body'}: {what}", param=path or None, code="invalid_value"
    )
