"""The front process from start to exit: joins HTTP, desk, channel and the engine process, and obeys signals.

Three ways to end: a signal (finish what runs, exit 0); a model that cannot be loaded (a last word for
Kubernetes, exit 1); an engine that died (not ready at once, running requests get an error, exit 1).
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvicorn

from kvring_node import fetch, logs, messages, prompts, service, sockets
from kvring_node.account import Account
from kvring_node.channel import EngineChannel, EngineGone
from kvring_node.engine.options import EngineOptions
from kvring_node.metrics.engine import NodeState
from kvring_node.metrics.registry import Metrics
from kvring_node.model.errors import ModelError
from kvring_node.protocol import Protocol
from kvring_node.settings import Settings
from kvring_node.supervisor import EngineProcess
from kvring_node.tracing import Tracer
from kvring_node.web import app, internal
from kvring_node.web.context import Context

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

LAST_ANSWERS_S = 2
"""How long answers that are complete, errors among them, may take to reach their clients before the exit."""
KEEP_ALIVE_S = 620
"""How long a connection may be idle: longer than balancers keep theirs (nginx and Amazon's 60 s, Google's
600 s). Who asks just when we close meets a reset, which a balancer passes on as a 502."""
ENGINE_STOP_S = 5.0
LAST_WORD_S = 0.1
"""How long what an engine said before it ended may take to be read."""
LAST_NEWS_S = 1.0
"""How long the last words of an engine that has ended may take to arrive."""


@dataclass(frozen=True)
class Ports:
    """What differs between production and tests. `wall_clock` is in seconds since the Unix epoch."""

    engine_command: Sequence[str]
    load_tokenizer: Callable[[Path], prompts.Tokenizer]
    download: fetch.Download
    wall_clock: Callable[[], float]
    monotonic: Callable[[], float]
    termination_log: Path


class Ended(Exception):
    """Nothing can be served any more. `reason` is CamelCase, the message says what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def tell(self, termination_log: Path) -> None:
        """Leave the last word that Kubernetes shows, where it has made a file for it."""
        if termination_log.exists():
            termination_log.write_text(json.dumps({"reason": self.reason, "message": str(self)}))


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: when to stop is decided here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: Settings, ports: Ports) -> int:
    """Serve until a signal or a fault; returns the exit code. Raises `sockets.CannotStart`."""
    with (
        sockets.listen(settings.host, settings.port) as listener,
        sockets.private_folder() as directory,
    ):
        return await Front(settings, ports, Path(directory)).run(listener)


class Front:
    """One run of the front process."""

    def __init__(self, settings: Settings, ports: Ports, directory: Path) -> None:
        """`directory` holds the sockets to the engine; it must be private to this process and its child."""
        self._settings = settings
        self._ports = ports
        self._tracer = (
            Tracer(settings.otlp_endpoint, settings.served_name, ports.wall_clock)
            if settings.otlp_endpoint
            else None
        )
        metrics = Metrics(settings.served_name, self._state)
        self._channel = EngineChannel(directory, ports.monotonic, metrics.engine.heard)
        self._place = internal.Membership()
        self._desk = service.FrontDesk(
            self._channel,
            metrics,
            ports.monotonic,
            list(self._readers()),
            max_open=settings.max_sequences + settings.max_waiting,
            drain_lag_s=settings.drain_lag_s,
            max_silence_s=settings.max_silence_s,
        )

    def _readers(self) -> Iterator[Callable[[Account], None]]:
        """Who reads the accounts of requests, beside the metrics."""
        if self._settings.log_requests:
            yield logs.ended
        if self._tracer:
            yield self._tracer.ended

    async def run(self, listener: socket.socket) -> int:
        """Serve on `listener` until the end; returns the process's exit code."""
        signals = asyncio.Semaphore(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, signals.release)
        _log.info("listening on %s port %d", *listener.getsockname()[:2])
        try:
            async with (
                self._http(listener),
                _running(self._engine()) as engine,
            ):
                await _first(engine, asyncio.ensure_future(signals.acquire()))
                if not engine.done():
                    await self._leave(engine, asyncio.ensure_future(signals.acquire()))
                if engine.done():
                    await self._last_word(engine)
                    return 1
                return 0
        finally:
            self._channel.close()
            if self._tracer:
                self._tracer.close()

    async def _engine(self) -> None:
        """The engine's whole life; raises `Ended` when it ends by itself."""
        settings, ports = self._settings, self._ports
        folder = await _blocking(fetch.local_folder, settings.model, settings.revision, ports.download)
        process = await EngineProcess.start(
            [*ports.engine_command, self._options(folder), *self._channel.addresses, str(os.getpid())]
        )
        try:
            async with _running(process.ended()) as ended, _running(self._channel.listen()) as listening:
                tokenizer = await _blocking(ports.load_tokenizer, folder)
                await self._loaded(ended, tokenizer)
                await _first(ended, listening)
                how = f"cannot be understood: {listening.exception()!r}" if listening.done() else ""
                if not how:
                    await asyncio.wait((listening,), timeout=LAST_WORD_S)
                    how = ": ".join(filter(None, (ended.result(), self._channel.last_word)))
                self._desk.fail(EngineGone(f"the engine process {how}; this node restarts, try again"))
                raise Ended("EngineDied", f"the engine process {how}")
        finally:
            await process.stop(ENGINE_STOP_S)

    async def _loaded(self, ended: "asyncio.Future[str]", tokenizer: prompts.Tokenizer) -> None:
        news = self._channel.news
        await _first(ended, news)
        if not news.done():
            await asyncio.wait((news,), timeout=LAST_NEWS_S)
        if not news.done():
            raise Ended(
                "EngineDied", f"the engine process {ended.result()} while loading; see its output above"
            )
        match news.result():
            case messages.LoadFailed(reason, message):
                raise Ended(reason, message)
            case messages.Loaded() as loaded:
                created_at = int(self._ports.wall_clock())
                self._desk.serve(service.Served(self._settings.served_name, tokenizer, loaded, created_at))
                _log.info("serving %s", self._settings.served_name, extra=msgspec.structs.asdict(loaded))

    async def _leave(self, engine: "asyncio.Future[None]", again: "asyncio.Future[bool]") -> None:
        """After a signal: until all is served, a second signal, the end of the grace, or a dead engine."""
        _log.info("draining")
        self._desk.drain()
        async with _running(self._desk.drained()) as drained:
            await _first(engine, drained, again, timeout_s=self._settings.grace_s)
            if not drained.done():
                self._desk.fail(EngineGone("this node was told to end, and its time was over; try again"))
                await self._answered()

    async def _last_word(self, engine: "asyncio.Future[None]") -> None:
        error = engine.exception()
        if not isinstance(error, Ended):
            raise error or AssertionError("the engine's life ends with an exception")
        _log.critical("%s", error, extra={"reason": error.reason})
        error.tell(self._ports.termination_log)
        await self._answered()

    async def _answered(self) -> None:
        """Wait until running requests have been told of a failure."""
        async with _running(self._desk.drained()) as drained:
            await _first(drained, timeout_s=LAST_ANSWERS_S)

    def _options(self, folder: Path) -> str:
        settings = self._settings
        options = EngineOptions(
            model=str(folder),
            revision=settings.revision,
            dtype=settings.dtype,
            device=settings.device,
            page_tokens=settings.page_tokens,
            kv_bytes=settings.cache_bytes,
            max_model_len=settings.max_model_len,
            max_batch_tokens=settings.max_batch_tokens,
            max_num_sequences=settings.max_sequences,
            strategy=settings.strategy,
            batch_invariant=settings.batch_invariant,
            seed=settings.seed,
            num_threads=settings.num_threads,
        )
        return msgspec.json.encode(options).decode()

    def _state(self) -> NodeState:
        desk = self._desk
        loaded = desk.served.loaded if desk.served else None
        return NodeState(self._channel.stats, loaded, desk.phase, desk.is_hung, self._place.held.epoch)

    @contextlib.asynccontextmanager
    async def _http(self, listener: socket.socket) -> AsyncIterator[None]:
        ctx = Context(self._desk, self._settings, self._ports.wall_clock)
        config = uvicorn.Config(
            app.make(ctx, self._place),
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=LAST_ANSWERS_S,
        )
        server = _Server(config)
        task = asyncio.ensure_future(server.serve([listener]))
        try:
            async with _running(self._close_idle(server)):
                yield
        finally:
            server.should_exit = True
            await task

    async def _close_idle(self, server: uvicorn.Server) -> None:
        """Who kept a connection to a node that leaves finds another one when it asks again, and no 503."""
        await self._desk.turns_away()
        for connection in list(server.server_state.connections):
            connection.shutdown()  # at once, or with the answer that is running


async def _blocking(work: Callable[..., _T], *arguments: Any) -> _T:
    """The result of `work` in a thread that nobody waits for at exit; raises `Ended` for a faulty model."""
    executor = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, work, *arguments)
    except fetch.ModelUnavailable as error:
        raise Ended(error.reason, str(error)) from error
    except ModelError as error:
        raise Ended(error.reason, error.message) from error
    finally:
        executor.shutdown(wait=False)


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, _T]) -> "AsyncIterator[asyncio.Future[_T]]":
    """`work` as a task that has ended when the block is left."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _first(*tasks: "asyncio.Future[Any]", timeout_s: float | None = None) -> None:
    """Wait until one of `tasks` is done; cancels none."""
    await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
