"""From the bytes of a request to a struct, or to an error that names the field."""

import codecs
import functools
import re
from typing import TypeVar

import msgspec
from fastapi import Request
from fastapi.responses import Response

from kvring_node import prompts
from kvring_node.web import harmless, integers
from kvring_node.web.errors import ApiError

_T = TypeVar("_T", bound=msgspec.Struct)

THREAD_BYTES = 65536
"""Larger bodies are looked through in a thread: a conversation of many turns takes a second."""


async def read_bytes(request: Request, limit_bytes: int) -> bytes:
    """The body of `request`; raises `ApiError` 413 when it is larger than the limit, without keeping it."""
    too_large = ApiError(
        413, f"the body is larger than {limit_bytes} bytes; shorten the prompt", code="body_too_large"
    )
    if int(request.headers.get("content-length", 0)) > limit_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise too_large
    return bytes(body)


async def read(request: Request, decoder: msgspec.json.Decoder[_T], limit_bytes: int) -> _T:
    """What `decoder` makes of the body; raises `ApiError` 400 when it takes it not, 413 when too large."""
    return await parse_in_turn(await read_bytes(request, limit_bytes), decoder)


async def parse_in_turn(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_T]) -> _T:
    """As `parse`; a large body is parsed in a thread, so that others have their turn."""
    is_large = memoryview(body).nbytes > THREAD_BYTES
    return await prompts.in_thread_if(is_large, functools.partial(parse, decoder=decoder), body)


def parse(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_T]) -> _T:
    """What `decoder` makes of `body`; raises `ApiError` 400 when it takes it not."""
    try:
        decoded = _decode(body, decoder)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not valid UTF-8: {error.reason}", code="invalid_json") from error
    except msgspec.DecodeError as error:
        raise ApiError(
            400, f"the body is not valid JSON: {error}{_remedy(body)}", code="invalid_json"
        ) from error
    except RecursionError as error:
        raise ApiError(400, "the body is nested too deeply", code="invalid_json") from error
    harmless.refuse(decoded)
    return decoded


def _decode(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
        return integers.decode(body, decoder.type)


def _remedy(body: bytes | msgspec.Raw) -> str:
    """What to do about a body that begins as gzip's do, or with a byte order mark."""
    is_other = bytes(memoryview(body)[:3]).startswith(
        (b"\x1f\x8b", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    )
    return "; send plain UTF-8, not compressed and without a byte order mark" if is_other else ""


def answer(body: msgspec.Struct, headers: dict[str, str] | None = None) -> Response:
    """A 200 response with `body` as JSON."""
    return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")


def _invalid(message: str) -> ApiError:
    # The path is written `$.field`, `$.field[...]` for a value of a map and `key` in `$.field` for its key.
    what, _, path = message.partition(" - at `")
    path = path.removeprefix("key` in `").rstrip("`").removeprefix("$").removesuffix("[...]").lstrip(".")
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
