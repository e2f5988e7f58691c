"""The front's side of an engine process: its sockets, and the child."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import zmq

from kvring_node import sockets
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import FromEngine, ToEngine

DEADLINE_MS = 60_000
ENGINE = ("kvring_node.engine.process",)


def engine_command(
    options: EngineOptions, inbox: str, outbox: str, module: Sequence[str] = ENGINE
) -> list[str]:
    """Without its last word, the id of the process that starts it."""
    encoded = msgspec.json.encode(options).decode()
    return [sys.executable, "-m", *module, encoded, inbox, outbox]


class Front:
    """One engine process and who talks to it. `log`: what it writes to stderr."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        folder: Path,
        options: EngineOptions,
        pid: int | None = None,
        module: Sequence[str] = ENGINE,
    ):
        self.log = folder / "engine.log"
        self._to = context.socket(zmq.PUSH)
        self._from = context.socket(zmq.PULL)
        self._sockets = sockets.private_folder()  # its path is short, whatever the test's own
        inbox, outbox = f"ipc://{self._sockets.name}/to", f"ipc://{self._sockets.name}/from"
        self._to.bind(inbox)
        self._from.bind(outbox)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [*engine_command(options, inbox, outbox, module), str(pid or os.getpid())],
                env=environment,
                stderr=log,
            )
        self._decoder = msgspec.msgpack.Decoder(list[FromEngine])

    def say(self, *messages: ToEngine) -> None:
        self._to.send(msgspec.msgpack.encode(messages))

    def say_raw(self, frame: bytes) -> None:
        self._to.send(frame)

    def hear(self) -> list[FromEngine]:
        assert self._from.poll(DEADLINE_MS), "the engine is silent"
        return self._decoder.decode(self._from.recv())

    def hear_until(self, told: Callable[[list[FromEngine]], bool]) -> list[FromEngine]:
        heard: list[FromEngine] = []
        while not told(heard):
            heard += self.hear()
        return heard

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        self._to.close(linger=0)
        self._from.close(linger=0)
        self._sockets.cleanup()
