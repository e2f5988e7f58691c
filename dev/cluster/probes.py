"""Questions to a component: are you ready? Each answers yes or no and never raises."""

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from dev import commands

TIMEOUT_S = 2.0

Probe = Callable[[], bool]


def http(url: str, authority: Path | None = None) -> Probe:
    """Ready when GET `url` answers 200; `authority` signs the server's certificate."""

    def ready() -> bool:
        try:
            context = ssl.create_default_context(cafile=authority) if authority else None
            # The local addresses are never behind a proxy, whatever the environment says.
            handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
            with urllib.request.build_opener(*handlers).open(url, timeout=TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    return ready


def listening(address: str, port: int) -> Probe:
    """Ready when a TCP connection is accepted."""

    def ready() -> bool:
        try:
            with socket.create_connection((address, port), timeout=TIMEOUT_S):
                return True
        except OSError:
            return False

    return ready


def containerd(address: Path) -> Probe:
    """Ready when containerd answers on its socket."""
    return lambda: address.exists() and commands.succeeds(["ctr", "--address", address, "version"], TIMEOUT_S)
