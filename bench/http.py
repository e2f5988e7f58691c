# ruff: noqa: A005  # nobody imports it as `http`: it is `python -m bench.http`, like its neighbours
"""What the front costs a request, without decoding: `python -m bench.http [--requests N] [--connections N]`.

Three servers take turns on the same bytes: the node's front with an engine that echoes one token, a bare
FastAPI route that parses the same body and answers the same fields, and a bare ASGI application under the
same uvicorn. CPU microseconds are of the server's own process, so they hold on a busy machine too.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tests.support import byte_folder

BODY = json.dumps({"model": "echo", "prompt": "Hello, world. " * 8, "max_tokens": 1}).encode()
ANSWER = json.dumps({"id": "x", "choices": [{"index": 0, "text": "H", "finish_reason": "length"}]}).encode()
Message = MutableMapping[str, Any]


async def asgi(scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
    """The least that uvicorn can serve: read the body, answer."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def fastapi_app() -> Any:
    """What a FastAPI user writes first."""
    import fastapi
    import pydantic

    class Request(pydantic.BaseModel):
        model: str
        prompt: str
        max_tokens: int = 16

    app = fastapi.FastAPI()

    @app.post("/v1/completions")
    async def completions(request: Request) -> dict[str, Any]:
        choice = {"index": 0, "text": request.prompt[: request.max_tokens], "finish_reason": "length"}
        return {"id": "x", "choices": [choice]}

    return app


@dataclass
class Server:
    """One contender and what was measured of it."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    latencies_us: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def commands(port: Callable[[], int], model: Path) -> dict[str, tuple[list[str], int]]:
    """How each contender is started, and where it listens."""
    made = {}
    for name in ("asgi", "fastapi", "kvring"):
        chosen = port()
        plain = [sys.executable, "-m", "bench.http", "--serve", name, "--port", str(chosen)]
        node = ["--model", str(model), "--host", "127.0.0.1", "--port", str(chosen), "--log-level", "error"]
        engine = ["tests.support.fake_engine", "--step-s", "0"]
        fake = [sys.executable, "-m", "tests.support.fake_node", "/dev/null", *engine, "--", *node]
        made[name] = (fake if name == "kvring" else plain, chosen)
    return made


async def ask(port: int, num_requests: int) -> list[float]:
    """Latencies in microseconds of requests sent one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    request, took = head + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY), []
    for _ in range(num_requests):
        began_at = time.perf_counter()
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"port {port} answered {answer!r}")
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        took.append((time.perf_counter() - began_at) * 1e6)
    writer.close()
    await writer.wait_closed()
    return took


async def measure(server: Server, num_requests: int, num_connections: int) -> None:
    """One turn: alone for latency, then many at once for the rate."""
    server.latencies_us += await ask(server.port, num_requests)
    process = psutil.Process(server.process.pid)
    cpu_before, began_at = _cpu_s(process), time.perf_counter()
    await asyncio.gather(*(ask(server.port, num_requests // num_connections) for _ in range(num_connections)))
    num_asked = num_requests // num_connections * num_connections
    server.rates.append(num_asked / (time.perf_counter() - began_at))
    server.cpu_us.append((_cpu_s(process) - cpu_before) / num_asked * 1e6)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def wait_listening(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            await ask(port, 1)
        except (OSError, SystemExit):
            await asyncio.sleep(0.1)
        else:
            return
    raise SystemExit(f"nothing answers on port {port}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def row(server: Server) -> dict[str, float]:
    quantiles = statistics.quantiles(server.latencies_us, n=100)
    return {
        "latency_p50_us": round(quantiles[49], 1),
        "latency_p99_us": round(quantiles[98], 1),
        "requests_per_s": round(statistics.median(server.rates), 1),
        "cpu_us_per_request": round(statistics.median(server.cpu_us), 1),
    }


async def take_turns(servers: list[Server], args: argparse.Namespace) -> None:
    for server in servers:
        await wait_listening(server.port)
        await ask(server.port, args.requests // 10)
    for _ in range(args.rounds):
        for server in servers:
            await measure(server, args.requests, args.connections)


def compare(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        model = byte_folder.make(Path(folder) / "echo")
        servers = []
        try:
            for name, (command, port) in commands(free_port, model).items():
                servers.append(Server(name, subprocess.Popen(command), port))
            asyncio.run(take_turns(servers, args))
        finally:
            for server in servers:
                server.process.terminate()
            for server in servers:
                server.process.wait()
    rows = {server.name: row(server) for server in servers}
    cpu = {name: one["cpu_us_per_request"] for name, one in rows.items()}
    return {
        "bench": "http",
        "rows": rows,
        "overhead_cpu_us_over_asgi": round(cpu["kvring"] - cpu["asgi"], 1),
        "cpu_ratio_to_fastapi": round(cpu["kvring"] / cpu["fastapi"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=2000, help="a round and server (default 2000)")
    parser.add_argument("--connections", type=int, default=16, help="at once, for the rate (default 16)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each server (default 5)")
    parser.add_argument("--serve", choices=("asgi", "fastapi"), help="be one of the peers")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    if args.serve:
        import uvicorn

        app = asgi if args.serve == "asgi" else fastapi_app()
        uvicorn.run(
            app,
            host="127.0.0.1",
            port=args.port,
            log_level="error",
            loop="uvloop",
            http="httptools",
        )
        return
    result = compare(args)
    print(f"{'':10}{'p50 us':>10}{'p99 us':>10}{'req/s':>10}{'cpu us':>10}")
    for name, one in result["rows"].items():
        print(f"{name:10}" + "".join(f"{value:10.1f}" for value in one.values()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
