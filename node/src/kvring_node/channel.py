"""The front's end of the two one-way streets to the engine process, and a mailbox for each request in flight.

One frame is a list of messages: the engine sends one frame a step, the front at most one a turn of its
event loop, so that neither side pays per message for a system call.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq
import zmq.asyncio

from kvring_node import messages

Answer = messages.Tokens | messages.Refused
News = messages.Loaded | messages.LoadFailed


class EngineGone(Exception):
    """The engine process has ended; nothing that was in flight will be answered."""


class Arrival(NamedTuple):
    """An answer and when it came, so that a slow reader does not look like a slow engine."""

    at: float
    answer: Answer


class Mailbox:
    """What the engine has said about one request and its reader has not taken yet."""

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []
        self._ended = False
        self._wants_all = False
        self._error: EngineGone | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, arrival: Arrival, *, ended: bool) -> None:
        """Add an answer, the last one or not, and wake the reader when it is what it waits for."""
        self._arrivals.append(arrival)
        self._ended = ended
        self._wake_if(self._is_there())

    def fail(self, error: EngineGone) -> None:
        """Let the reader's next `take` raise, after what has already come."""
        self._error = error
        self._wake_if(True)

    async def take(self, *, wants_all: bool = False) -> list[Arrival]:
        """All answers since the last call, at least one: a slow reader gets fewer, larger pieces.

        With `wants_all` the reader sleeps until the last one is there. Raises `EngineGone`.
        """
        self._wants_all = wants_all
        await self.arrived()
        taken, self._arrivals = self._arrivals, []
        return taken

    async def arrived(self) -> Answer:
        """Wait until there is an answer to take; returns the first one, which stays. Raises `EngineGone`."""
        while not self._is_there():
            if self._error:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._arrivals[0].answer

    def _is_there(self) -> bool:
        return self._ended if self._wants_all else bool(self._arrivals)

    def _wake_if(self, is_time: bool) -> None:
        if is_time and self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class EngineChannel:
    """Submits and aborts requests, hands answers to their mailboxes, keeps the engine's latest statistics."""

    def __init__(
        self, directory: Path, clock: Callable[[], float], on_stats: Callable[[messages.Stats], None]
    ) -> None:
        """Bind both sockets in `directory`, which must be private to this process and its child."""
        self._clock = clock
        self._on_stats = on_stats
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._from_engine = zmq.asyncio.Socket(self._context, zmq.PULL)
        self._to_engine = self._context.socket(zmq.PUSH)
        for socket, name in ((self._from_engine, "from-engine"), (self._to_engine, "to-engine")):
            socket.set(zmq.RCVHWM, 0)
            socket.set(zmq.SNDHWM, 0)  # a queue of requests is bounded by `max_waiting`, never by losing some
            socket.set(zmq.LINGER, 0)
            socket.bind(f"ipc://{directory / name}")
        self.addresses = (f"ipc://{directory}/to-engine", f"ipc://{directory}/from-engine")
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[messages.FromEngine])
        self._outbox: list[messages.ToEngine] = []
        self._mailboxes: dict[str, Mailbox] = {}
        self._gone: EngineGone | None = None
        self.heard_at = clock()
        self.last_word = ""
        self.news: asyncio.Future[News] = asyncio.get_running_loop().create_future()
        self.stats = messages.Stats()

    def submit(self, request: messages.Submit) -> Mailbox:
        """Send a request; its answers come to the mailbox. Raises `EngineGone`."""
        if self._gone:
            raise self._gone
        mailbox = self._mailboxes[request.request_id] = Mailbox()
        self._post(request)
        return mailbox

    def abort(self, request_id: str) -> None:
        """Tell the engine that nobody waits for this request any more; harmless when it has ended."""
        if self._mailboxes.pop(request_id, None) and not self._gone:
            self._post(messages.Abort(request_id))

    def end(self, request_id: str, index: int) -> None:
        """The same of one answer, after a word of the engine on it; the others go on."""
        if request_id in self._mailboxes:
            self._post(messages.Abort(request_id, index))

    async def listen(self) -> None:
        """Hand out what the engine says, until cancelled."""
        while True:
            frame = await self._from_engine.recv()
            self.heard_at = self._clock()
            for message in self._decoder.decode(frame):
                self._dispatch(message)

    def fail(self, error: EngineGone) -> None:
        """The engine has ended: every request in flight, and every later one, gets `error`."""
        self._gone = error
        for mailbox in self._mailboxes.values():
            mailbox.fail(error)
        self._mailboxes.clear()

    def close(self) -> None:
        """Close both sockets."""
        self._from_engine.close()
        self._to_engine.close()
        self._context.term()

    def _dispatch(self, message: messages.FromEngine) -> None:
        match message:
            case messages.Stats():
                self.stats = message
                self._on_stats(message)
            case messages.Failed():
                self.last_word = message.message
            case messages.Loaded() | messages.LoadFailed():
                self.news.set_result(message)
            case messages.Tokens(request_id=name):
                self._deliver(name, message, ended=message.is_last)
            case messages.Refused(request_id=name):
                self._deliver(name, message, ended=True)

    def _deliver(self, request_id: str, answer: Answer, *, ended: bool) -> None:
        # An aborted request may still have answers on the way; they have no mailbox any more.
        mailbox = self._mailboxes.pop(request_id, None) if ended else self._mailboxes.get(request_id)
        if mailbox:
            mailbox.put(Arrival(self._clock(), answer), ended=ended)

    def _post(self, message: messages.ToEngine) -> None:
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(message)

    def _flush(self) -> None:
        posted, self._outbox = self._outbox, []
        # EAGAIN means that the engine is no longer connected: the supervisor is about to say so to everyone.
        with contextlib.suppress(zmq.Again):
            self._to_engine.send(self._encoder.encode(posted), zmq.NOBLOCK)
