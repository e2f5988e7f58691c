"""An engine for the many callers of one event loop: its steps run in a thread, under the server's own loop.

::

    async with AsyncEngine(assembly.load_engine("path/to/model")) as engine:
        async for piece in engine.stream("class ", SamplingParams(max_tokens=32)):
            print(piece.text, end="")
"""

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Sequence

from kvring_node.engine import completions, serving
from kvring_node.engine.completions import Completion, Piece, Prompts, Reading
from kvring_node.engine.engine import Engine
from kvring_node.messages import Abort, FromEngine, Refused, SamplingParams, ToEngine, Tokens

Answer = Tokens | Refused


class EngineEnded(RuntimeError):
    """The engine's thread has ended: closed, or a step failed (then that is the cause)."""


class AsyncEngine:
    """Made, used and closed in one event loop. The engine belongs to its thread meanwhile, and is idle then.

    Calls run side by side, as requests of one server do. A call that nobody reads on, or that is cancelled,
    gives its pages back before the next step. A slow reader does not hold the engine up: what it was said
    waits for it, at most `max_tokens` an answer.
    """

    def __init__(self, engine: Engine, max_calls: int = 256) -> None:
        """Of more than `max_calls` at a time, the later ones wait before they reach the engine."""
        self._engine = engine
        self._places = asyncio.Semaphore(max_calls)
        self._numbers = itertools.count()
        self._readers: dict[str, asyncio.Queue[Answer | None]] = {}
        self._ended: EngineEnded | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._mailbox = _Mailbox(self._loop, self._deliver)
        self._thread = threading.Thread(target=self._turn, name="kvring-engine", daemon=True)
        self._thread.start()

    async def __aenter__(self) -> "AsyncEngine":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def generate(
        self, prompts: Prompts, params: SamplingParams, *, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Answers to one prompt or many, in their order; `n` for each.

        Raises:
            ValueError: a prompt that can never run, with the reason.
            EngineEnded: nobody computes any more.
        """
        reading = await self._read(prompts, params, stop)
        return reading.completions([piece async for piece in self._pieces(reading)])

    async def stream(
        self, prompts: Prompts, params: SamplingParams, *, stop: Sequence[str] = ()
    ) -> AsyncGenerator[Piece, None]:
        """The same, piece by piece as they come; stop iterating to abort the rest. Raises as `generate`."""
        reading = await self._read(prompts, params, stop)
        async with contextlib.aclosing(self._pieces(reading)) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Ends the thread after the step that it is in; calls still open get `EngineEnded`."""
        self._closing = True
        self._mailbox.wake()
        await asyncio.to_thread(self._thread.join)

    async def _read(self, prompts: Prompts, params: SamplingParams, stop: Sequence[str]) -> Reading:
        name = f"call-{next(self._numbers)}"
        return await asyncio.to_thread(self._engine.read, prompts, params, stop, name)  # it tokenises

    async def _pieces(self, reading: Reading) -> AsyncGenerator[Piece, None]:
        arrived: asyncio.Queue[Answer | None] = asyncio.Queue()
        async with self._places:
            try:
                for submit in reading.submits:
                    self._readers[submit.request_id] = arrived
                    self._mailbox.post(submit)
                while reading.is_open:
                    if self._ended:
                        raise self._ended
                    match await arrived.get():
                        case Refused() as refused:
                            raise reading.refuse(refused)
                        case Tokens() as message:
                            piece = reading.take(message)
                            if piece is not None:
                                if completions.is_cut(piece, message):
                                    self._mailbox.post(Abort(message.request_id, message.index))
                                yield piece
            finally:
                for submit in reading.submits:
                    self._leave(submit.request_id)

    def _turn(self) -> None:
        cause: Exception | None = None
        try:
            serving.serve(self._engine, self._mailbox, lambda: not (self._closing or self._loop.is_closed()))
            self._engine.abort_all()  # for whoever has the engine next
        except Exception as error:
            cause = error
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end, cause)

    def _end(self, cause: Exception | None) -> None:
        self._ended = EngineEnded(f"a step failed: {cause!r}" if cause else "the engine was closed")
        self._ended.__cause__ = cause
        for arrived in self._readers.values():
            arrived.put_nowait(None)

    def _deliver(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            arrived = self._readers.get(answer.request_id)
            if arrived:
                arrived.put_nowait(answer)

    def _leave(self, request_id: str) -> None:
        if self._readers.pop(request_id, None):
            self._mailbox.post(Abort(request_id))


class _Mailbox:
    """Between an event loop and the engine's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[Sequence[Answer]], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._posted: queue.SimpleQueue[ToEngine | None] = queue.SimpleQueue()

    def post(self, message: ToEngine) -> None:
        self._posted.put(message)

    def wake(self) -> None:
        self._posted.put(None)

    def receive(self, timeout_ms: int) -> list[ToEngine]:
        messages: list[ToEngine | None] = []
        try:
            if timeout_ms:
                messages.append(self._posted.get(timeout=timeout_ms / 1000))
            while True:
                messages.append(self._posted.get_nowait())
        except queue.Empty:
            return [message for message in messages if message is not None]

    def send(self, messages: Sequence[FromEngine]) -> None:
        answers = [message for message in messages if isinstance(message, Answer)]
        if answers and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, answers)
