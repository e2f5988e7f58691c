"""The engine process: `python -m kvring_node.engine.process OPTIONS INBOX OUTBOX FRONT`.

OPTIONS is the JSON of an EngineOptions; INBOX and OUTBOX are ZeroMQ endpoints that the front has bound
(PUSH and PULL; this side connects PULL and PUSH). Each ZeroMQ message is one frame: a msgpack array of the
tagged structs of `messages`, `ToEngine` one way and `FromEngine` the other. The first message out is
`Loaded`, or `LoadFailed` before the process ends with status 1. A step's tokens and one `Stats` share a
frame; an idle engine sends `Stats` once a second. FRONT is the front's process id: the process ends when that
is no longer its parent, and on SIGTERM at once.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence

import msgspec
import zmq

from kvring_node.engine.engine import Engine
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import Abort, FromEngine, LoadFailed, Submit, ToEngine
from kvring_node.model.errors import ModelError

IDLE_MS = 1000


def main(options: EngineOptions, inbox: str, outbox: str, front: int) -> int:
    """Loads the model and serves until the process `front` is gone; returns the exit status."""
    from kvring_node import assembly  # here, so that importing this module does not import torch

    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to the whole group; the front drains, then ends us
    with zmq.Context() as context, context.socket(zmq.PULL) as source, context.socket(zmq.PUSH) as sink:
        source.set_hwm(0)
        sink.set_hwm(0)
        sink.linger = IDLE_MS
        source.connect(inbox)
        sink.connect(outbox)
        mailbox = Mailbox(source, sink)
        try:
            engine = assembly.load_engine_from(options)
        except ModelError as error:
            mailbox.send([LoadFailed(reason=error.reason, message=error.message)])
            return 1
        mailbox.send([engine.loaded])
        serve(engine, mailbox, lambda: os.getppid() == front)
    return 0


class Mailbox:
    """Frames of messages over two sockets."""

    def __init__(self, source: "zmq.Socket[bytes]", sink: "zmq.Socket[bytes]"):
        self._source = source
        self._sink = sink
        self._decoder = msgspec.msgpack.Decoder(list[ToEngine])
        self._encoder = msgspec.msgpack.Encoder()

    def receive(self, timeout_ms: int) -> list[ToEngine]:
        """All messages that have arrived; waits for the first one at most `timeout_ms`."""
        messages: list[ToEngine] = []
        while self._source.poll(timeout_ms):
            messages += self._decoder.decode(self._source.recv())
            timeout_ms = 0
        return messages

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Sends one frame; never blocks."""
        self._sink.send(self._encoder.encode(messages))


def serve(engine: Engine, mailbox: Mailbox, wanted: Callable[[], bool]) -> None:
    """Drain the inbox, step, emit; waits without turning when there is nothing to compute."""
    while wanted():
        answers: list[FromEngine] = []
        for message in mailbox.receive(0 if engine.has_work else IDLE_MS):
            match message:
                case Submit():
                    refused = engine.add(message)
                    if refused is not None:
                        answers.append(refused)
                case Abort():
                    engine.abort(message.request_id)
        answers += engine.step()
        answers.append(engine.stats())
        mailbox.send(answers)


if __name__ == "__main__":
    given, inbox, outbox, front = sys.argv[1:]
    sys.exit(main(msgspec.json.decode(given, type=EngineOptions), inbox, outbox, int(front)))
