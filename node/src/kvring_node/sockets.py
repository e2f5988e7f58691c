"""What a node needs of its machine to begin: a port for clients, a folder for the sockets to its engine."""

import errno
import socket
import tempfile

MAX_FOLDER_CHARS = 90
"""Of the 107 that a socket's address may have (unix(7)), names and all."""

_PORT_FAULTS = (errno.EADDRINUSE, errno.EACCES)
_REMEDY = "set TMPDIR to a short path where a file can be written"


class CannotStart(Exception):
    """This machine does not let the node begin; the message says what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `CannotStart`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        at_fault = "--port" if getattr(error, "errno", None) in _PORT_FAULTS else "--host"
        raise CannotStart(
            f"cannot listen on {host} port {port}: {error}; choose another {at_fault}"
        ) from error


def private_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder that nobody else may enter. Raises `CannotStart`."""
    try:
        made = tempfile.TemporaryDirectory(prefix="kvring-")
    except OSError as error:
        raise CannotStart(f"no folder for the sockets to the engine: {error}; {_REMEDY}") from error
    if len(made.name) > MAX_FOLDER_CHARS:
        made.cleanup()
        raise CannotStart(f"{made.name} is too long for the address of a socket; {_REMEDY}")
    return made
