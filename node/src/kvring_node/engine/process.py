"""The engine process: `python -m kvring_node.engine.process OPTIONS INBOX OUTBOX FRONT`.

OPTIONS is the JSON of an EngineOptions; INBOX and OUTBOX are ZeroMQ endpoints that the front has bound
(PUSH and PULL; this side connects PULL and PUSH). Each ZeroMQ message is one frame: a msgpack array of the
tagged structs of `messages`, `ToEngine` one way and `FromEngine` the other. The first message out is
`Loaded`, or `LoadFailed` before the process ends with status 1; the last one of an engine that fails later is
`Failed`. A step's tokens and one `Stats` share a frame; an idle engine sends `Stats` once a second. FRONT is
the front's process id: the process ends when that is no longer its parent, and on SIGTERM at once. A form
that is being tried then is not waited for.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence

import msgspec
import zmq

from kvring_node import logs
from kvring_node.engine import serving
from kvring_node.engine.engine import Engine
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import Failed, FromEngine, LoadFailed, Refused, ToEngine
from kvring_node.model.errors import ModelError

LAST_WORD_MS = 1000

_log = logging.getLogger(__name__)


def load(options: EngineOptions) -> Engine:
    """The engine that the options describe, ready for every request; raises `ModelError`."""
    from kvring_node import assembly  # here, so that importing this module does not import torch

    engine = assembly.load_engine_from(options)
    engine.grammars.warm_up()
    return engine


def main(
    options: EngineOptions,
    inbox: str,
    outbox: str,
    front: int,
    load: Callable[[EngineOptions], Engine] = load,
) -> int:
    """Loads the model and serves until the process `front` is gone; returns the exit status."""
    with zmq.Context() as context, context.socket(zmq.PULL) as source, context.socket(zmq.PUSH) as sink:
        source.set_hwm(0)
        sink.set_hwm(0)
        sink.linger = LAST_WORD_MS
        source.connect(inbox)
        sink.connect(outbox)
        mailbox = Mailbox(source, sink)
        try:
            engine = load(options)
        except ModelError as error:
            mailbox.send([LoadFailed(reason=error.reason, message=error.message)])
            return 1
        mailbox.send([engine.loaded])
        try:
            serving.serve(engine, mailbox, lambda: os.getppid() == front)
        except Exception as error:
            _log.critical("the engine failed, and its process ends", exc_info=True)
            mailbox.send([Failed(repr(error))])
            return 1
    return 0


class _Named(msgspec.Struct):
    request_id: str


class Mailbox:
    """Frames of messages over two sockets."""

    def __init__(self, source: "zmq.Socket[bytes]", sink: "zmq.Socket[bytes]"):
        self._source = source
        self._sink = sink
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = zmq.Poller()
        self._poller.register(source, zmq.POLLIN)
        self._poller.register(self._waker, zmq.POLLIN)
        self._frames = msgspec.msgpack.Decoder(list[msgspec.Raw])
        self._decoder: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)
        self._names = msgspec.msgpack.Decoder(_Named)
        self._encoder = msgspec.msgpack.Encoder()

    def receive(self, timeout_ms: int) -> list[ToEngine]:
        """All messages that have arrived; waits for the first one at most `timeout_ms`.

        A request that cannot be read is refused here.

        Raises:
            msgspec.DecodeError: a frame that holds no messages: its sender is not our front.
        """
        messages: list[ToEngine] = []
        if self._waker in dict(self._poller.poll(timeout_ms)):
            os.eventfd_read(self._waker)
        while self._source.poll(0):
            for raw in self._frames.decode(self._source.recv()):
                try:
                    messages.append(self._decoder.decode(raw))
                except msgspec.DecodeError as error:
                    request_id = self._names.decode(raw).request_id
                    self.send(
                        [Refused(request_id, f"the engine cannot read this request: {error}", "prompt")]
                    )
        return messages

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Sends one frame; never blocks."""
        self._sink.send(self._encoder.encode(messages))

    def wake(self) -> None:
        """Has `receive` return at once, this time or the next; from any thread."""
        os.eventfd_write(self._waker, 1)


if __name__ == "__main__":
    logs.configure("info")
    given, inbox, outbox, front = sys.argv[1:]
    code = main(msgspec.json.decode(given, type=EngineOptions), inbox, outbox, int(front))
    logging.shutdown()
    os._exit(code)  # a form that is being tried still has its thread, and it would keep the process
