"""What the routes share."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from kvring_node import service
from kvring_node.account import Origin
from kvring_node.settings import Settings
from kvring_node.web.errors import ApiError


@dataclass(frozen=True)
class Context:
    """`wall_clock` is in seconds since the Unix epoch."""

    desk: service.FrontDesk
    settings: Settings
    wall_clock: Callable[[], float]

    def check_model(self, name: str | None) -> None:
        """Raise `ApiError` 404 unless `name` is the served model's, empty, or was left out."""
        served = self.settings.served_name
        if name and name != served:
            raise ApiError(
                404,
                f"the model {name!r} does not exist here; this server has {served!r}",
                param="model",
                code="model_not_found",
            )

    def fingerprint(self) -> str:
        """OpenAI's `system_fingerprint`: changes when the same seed may give another text."""
        served = self.desk.served
        return f"kvring-{served.loaded.fingerprint}" if served else ""


def request_id(request: Request) -> str:
    """What the client calls this request, or the name that it was given on arrival."""
    return str(request.state.request_id)


def origin(request: Request, name: str | None = None) -> Origin:
    """Who asks, for log and trace; `name` is what the body calls the request, if anything."""
    headers = ((name, request.headers.get(name)) for name in ("traceparent", "tracestate"))
    return Origin(name or request_id(request), tuple((name, value) for name, value in headers if value))


def tenant(request: Request, user: str | None = None) -> str:
    """Whose request it is: the header X-Kvring-Tenant, which a gateway may set, else OpenAI's `user`."""
    return request.headers.get("x-kvring-tenant") or user or ""


def fresh_id() -> str:
    """A name that no other request has: clients may repeat theirs."""
    return uuid.uuid4().hex
