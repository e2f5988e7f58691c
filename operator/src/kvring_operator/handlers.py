"""kopf's part: it watches InferenceClusters and puts their keys into the queue.

It decides nothing and writes nothing.
"""

from collections.abc import Callable
from typing import Any

import kopf

from kvring_contract import names
from kvring_contract.api import Key
from kvring_operator.login import Login


def settings() -> kopf.OperatorSettings:
    """Kopf as a shell: no discovery after the start, no peering, no writes."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.persistence.finalizer = f"{names.GROUP}/kopf"  # never set; it strips its own off, so not ours
    chosen.watching.chunk_size = 500
    chosen.watching.server_timeout = 300
    chosen.watching.connect_timeout = 5
    chosen.networking.request_timeout = 30
    return chosen


def registry(login: Login, enqueue: Callable[[Key], None]) -> kopf.OperatorRegistry:
    """Handlers in a registry of their own: nothing is registered at import."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def log_in(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=login.server,
            ca_path=login.ca_file,
            insecure=login.insecure,
            scheme="Bearer" if login.token() else None,
            token=login.token() or None,
            certificate_path=login.certificate_file,
            private_key_path=login.key_file,
        )

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=handlers)
    async def changed(namespace: str | None, name: str | None, **_: Any) -> None:
        # A coroutine, or kopf would call it in a thread beside the loop that the queue belongs to.
        enqueue(Key(str(namespace), str(name)))

    return handlers
