"""Questions to a component: are you ready? Each answers yes or no and never raises."""

import ssl
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from dev import commands
from dev.failure import Failure

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
        except (OSError, HTTPException):
            return False

    return ready


def containerd(address: Path, within_s: float = TIMEOUT_S) -> Probe:
    """Ready when a kubelet would be served, and is told so in time.

    containerd listens, and answers `ctr`, some 0.1 s before its CRI service has found the pods of its last
    life; a kubelet that asks between is refused ("server is not initialized yet") and ends. So this asks what
    a kubelet asks first: `RuntimeService/Version`, gRPC with an empty message and a verdict as trailer.
    """
    words = ["curl", "--silent", "--noproxy", "*", "--http2-prior-knowledge", "--unix-socket", str(address)]
    headers = ["--header", "content-type: application/grpc", "--header", "te: trailers"]
    body_and_answer = ["--data-binary", "@-", "--dump-header", "-", "--output", "/dev/null"]
    call = [*words, *headers, *body_and_answer, "http://localhost/runtime.v1.RuntimeService/Version"]
    empty_message = "\0" * 5  # not compressed, of length 0

    def ready() -> bool:
        try:
            said = commands.run(call, stdin=empty_message, timeout_s=within_s)
        except Failure:
            return False
        return "grpc-status: 0" in said.splitlines()

    return ready
