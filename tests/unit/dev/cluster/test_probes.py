"""Whether a kubelet would be served, as containerd's answers tell it."""

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dev.cluster import probes

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed; `make up` does it"
)

DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
STATUS_200 = b"\x88"  # HPACK's static table


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


EMPTY_MESSAGE = frame(DATA, END_STREAM, 1, bytes(5))


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is in no table (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


@pytest.fixture
def address() -> Iterator[Path]:
    """Of a socket: short, whatever the test's own folder is called."""
    with tempfile.TemporaryDirectory(prefix="kvring-") as folder:
        yield Path(folder) / "containerd.sock"


@contextmanager
def answering(address: Path, answer: bytes) -> Iterator[None]:
    """Serves one connection: says `answer` to whatever is asked."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen()
        server.settimeout(60)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                asked = b""
                while EMPTY_MESSAGE not in asked:
                    asked += connection.recv(65536)
                connection.sendall(answer)
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    ("answer", "is_ready"),
    [
        pytest.param(literal(b"grpc-status", b"0"), True, id="a runtime that serves is ready"),
        pytest.param(
            literal(b"grpc-status", b"2") + literal(b"grpc-message", b"server is not initialized yet"),
            False,
            id="a runtime that listens, but still looks for its pods, is not",
        ),
        pytest.param(literal(b"grpc-status", b"12"), False, id="a runtime without CRI is not"),
    ],
)
def test_a_runtime_is_ready_when_a_kubelet_would_be_served(
    address: Path, answer: bytes, is_ready: bool
) -> None:
    headers = frame(HEADERS, END_STREAM | END_HEADERS, 1, STATUS_200 + answer)
    with answering(address, frame(SETTINGS, 0, 0) + headers):
        assert probes.containerd(address, within_s=60)() is is_ready


def test_a_runtime_that_has_not_begun_is_not_ready(address: Path) -> None:
    assert not probes.containerd(address)()
