"""HTTP/1.1 as uvicorn speaks it, but for one thing: an offer to go on in another protocol costs no body.

Every Java client offers HTTP/2 with each request (`Upgrade: h2c`), and a server may pass over that (RFC 9110,
7.8). httptools ends such a request at its headers, and uvicorn serves it without its body (its issue 2722).
"""

from typing import Any

import httptools  # type: ignore[import-untyped]  # it has stubs, and no py.typed beside them
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.parser = _Parser(self)

    def on_headers_complete(self) -> None:
        """Begin to serve the request, unless it is about to be read again."""
        if not self._is_offer():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Let the request know that its body is whole, unless it is about to be read again."""
        if not self._is_offer():
            super().on_message_complete()

    def head_without_offer(self) -> bytes:
        """The request's head as it came, but for the header that offers."""
        parser = self.parser
        line = b"%b %b HTTP/%b\r\n" % (parser.get_method(), self.url, parser.get_http_version().encode())
        kept = (b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        return b"".join((line, *kept, b"\r\n"))

    def _is_offer(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"


class _Parser:
    """As httptools', whose own has nothing more to say after an offer."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> None:
        """Parse what came; a request that ended at its offer is read again without it."""
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self.get_method() == b"CONNECT":
                    raise
                data = self._protocol.head_without_offer() + data[offer.args[0] :]
                self._begin()
            else:
                return

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self._protocol)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn, for pipelining
