"""Every failure as an OpenAI error object with the right status."""

import msgspec
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kvring_contract import wire
from kvring_node import prompts, service
from kvring_node.channel import EngineGone
from kvring_node.web import responses

RETRY_AFTER_S = 1


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class ApiError(Exception):
    """A request that cannot be served, as the client is told it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = responses.ErrorBody(
            responses.ErrorDetail(message=message, type=_kind(status), param=param, code=code)
        )


def describe(error: Exception) -> ApiError:
    """How the client is told of `error`."""
    match error:
        case ApiError():
            return error
        case prompts.InvalidAsk():
            return ApiError(400, str(error), code=error.code, param=error.param)
        case service.QueueFull():
            return ApiError(429, str(error), code="queue_full", headers=_retry())
        case service.Unavailable():
            return ApiError(503, str(error), code="unavailable", headers=_retry())
        case EngineGone():
            return ApiError(503, str(error), code="engine_dead", headers=_retry())
        case wire.BadSignature():
            return ApiError(401, str(error), code="bad_signature")
        case wire.InvalidMessage():
            return ApiError(400, str(error), code="invalid_message")
        case ClientGone() | ClientDisconnect():
            return ApiError(
                499, "the client went away", code="client_gone"
            )  # for log and metrics: nobody reads it
        case HTTPException(status_code=status):
            message = _HTTP.get(status, str(error.detail))
            headers = dict(error.headers or {})
            return ApiError(status, message, code=_CODES.get(status, "http_error"), headers=headers)
        case _:
            return ApiError(500, "an internal error; the server's log has the details", code="internal_error")


async def respond(_request: Request, error: Exception) -> Response:
    """The response for `error`: FastAPI's exception handler."""
    told = describe(error)
    content = msgspec.json.encode(told.body)
    return Response(content, told.status, headers=told.headers, media_type="application/json")


EXPECTED = (ApiError, prompts.InvalidAsk, service.QueueFull, service.Unavailable, EngineGone)
"""What a request may meet without a fault of ours."""

HANDLED = (
    *EXPECTED,
    ClientGone,
    ClientDisconnect,
    wire.BadSignature,
    wire.InvalidMessage,
    HTTPException,
    Exception,
)

_HTTP = {
    404: "there is nothing at this path; /openapi.json lists what there is",
    405: "this path takes another method; /openapi.json lists which",
}
_CODES = {404: "not_found", 405: "method_not_allowed"}


def _kind(status: int) -> str:
    kinds = {401: "authentication_error", 429: "rate_limit_error", 503: "service_unavailable_error"}
    return kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _retry() -> dict[str, str]:
    return {"Retry-After": str(RETRY_AFTER_S)}
