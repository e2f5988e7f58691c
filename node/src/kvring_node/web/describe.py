"""The OpenAPI document, made from the same structs that parse requests."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import APIRoute

from kvring_node.web import forms, requests, responses


class BareRoute(APIRoute):
    """A route whose function takes the request and nothing else: FastAPI need not look for what it wants."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function itself."""
        return self.endpoint


_STRUCTS = [
    one
    for module in (forms, requests, responses)
    for _, one in inspect.getmembers(module, inspect.isclass)
    if issubclass(one, msgspec.Struct) and one.__module__ == module.__name__
]
_REFS = "#/components/schemas/{name}"


def route(
    *,
    takes: type[msgspec.Struct] | None = None,
    gives: type[msgspec.Struct] | None = None,
    streams: bool = False,
    errors: tuple[int, ...] = (),
) -> dict[str, Any]:
    """Keyword arguments of a FastAPI route that reads and writes its own bytes."""
    content: dict[str, Any] = {"application/json": {"schema": _ref(gives)}} if gives else {}
    if streams:
        content["text/event-stream"] = {}  # OpenAPI 3.1 has no words for the events of a stream
    given: dict[int | str, Any] = {200: {"description": "OK", "content": content}}
    for status in errors:
        error = {"application/json": {"schema": _ref(responses.ErrorBody)}}
        given[status] = {"description": _MEANING[status], "content": error}
    extra = {}
    if takes:
        body = {"application/json": {"schema": _ref(takes)}}
        extra = {"requestBody": {"required": True, "content": body}}
    return {"responses": given, "openapi_extra": extra}


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document, with the structs among its components."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, components = msgspec.json.schema_components(_STRUCTS, ref_template=_REFS)
        made.setdefault("components", {}).setdefault("schemas", {}).update(components)
        app.openapi_schema = made
    return app.openapi_schema


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REFS.format(name=struct.__name__)}


_MEANING = {
    400: "The request is wrong; `param` names the field, `message` says what to do",
    401: "The call is not signed with the pool's key",
    404: "No such model, or no such path",
    409: "A newer operator or ring is held already; the body is this node's report",
    413: "The body is too large",
    429: "The queue is full; try again after Retry-After seconds",
    503: "Loading, draining or failed; try another node",
}
