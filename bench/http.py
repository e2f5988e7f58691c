# ruff: noqa: A005  # nobody imports it as `http`: it is `python -m bench.http`, like its neighbours
"""What the front costs a request, without decoding.

    python -m bench.http --num-requests 2000 --connections 16
    python -m bench.http --model DIR --requests FILE.jsonl

Three servers take turns on the same bytes: the node's front with an engine that answers with the prompt's
own tokens, a bare FastAPI route that parses the same body and answers a choice, and a bare ASGI application
under the same uvicorn, all without access logs. The client is this process; each turn is one request after
the other for the latency, then --connections at once for the rate. CPU microseconds are of the server's own
process (the fake engine is another one), so they hold on a busy machine too. Of a model only the tokenizer is
used. A request file is one of bench.throughput, with prompts; it is gone through again and again.

Progress goes to standard error. The last line of standard output is one JSON object:

  rows                        of asgi, fastapi, kvring: latency_p50_us and latency_p99_us (microseconds, over
                              all rounds), requests_per_s and cpu_us_per_request (medians of the rounds)
  ratio                       kvring's CPU time of a request through FastAPI's: what the front costs
  overhead_cpu_us_over_asgi   CPU microseconds of a request that a bare application does not take

The exit status is 2 when it cannot be done as asked, 130 when interrupted.
"""

import argparse
import asyncio
import itertools
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from bench import arguments
from bench.contest import request_file
from bench.contest.request_file import Chat, Length
from bench.contest.workload import Unfit
from tests.support import byte_folder

PROMPT = "Hello, world. " * 8
NAME = "echo"
MANY = "100000000"
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
        prompt: str | list[int]
        max_tokens: int = 16

    app = fastapi.FastAPI()

    @app.post("/v1/completions")
    async def completions(request: Request) -> dict[str, Any]:
        text = str(request.prompt)[: request.max_tokens]
        choice = {"index": 0, "text": text, "finish_reason": "length"}
        return {"id": "x", "choices": [choice]}

    return app


class Refused(Exception):
    """A server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


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
        node += [
            "--served-name",
            NAME,
            "--max-waiting",
            MANY,
            "--max-model-len",
            MANY,
            "--max-body-bytes",
            "1Gi",
        ]
        engine = ["tests.support.fake_engine", "--step-s", "0", "--vocab", MANY]
        fake = [sys.executable, "-m", "tests.support.fake_node", "/dev/null", *engine, "--", *node]
        made[name] = (fake if name == "kvring" else plain, chosen)
    return made


def bodies(rows: Sequence[request_file.Row]) -> list[bytes]:
    """Bodies of completions.

    Raises:
        Unfit: a row of messages, which only a chat is.
    """
    made = []
    for row in rows:
        if isinstance(row.prompt, Chat | Length):
            raise Unfit(f"{row.place} has no prompt, and this bench asks /v1/completions, which takes one")
        body = {"model": NAME, "prompt": row.prompt, "max_tokens": row.max_tokens}
        made.append(json.dumps(body).encode())
    return made


async def ask(port: int, bodies: Sequence[bytes]) -> list[float]:
    """Latencies in microseconds of requests sent one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head, took = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n", []
    for body in bodies:
        request = head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        began_at = time.perf_counter()
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
        told = await reader.readexactly(length)
        if (status := int(answer.split(maxsplit=2)[1])) != 200:
            raise Refused(status, f"{body[:200]!r} is answered with {told.decode()}")
        took.append((time.perf_counter() - began_at) * 1e6)
    writer.close()
    await writer.wait_closed()
    return took


async def measure(server: Server, bodies: Sequence[bytes], num_connections: int) -> None:
    """One turn: alone for latency, then many at once for the rate."""
    server.latencies_us += await ask(server.port, bodies)
    process = psutil.Process(server.process.pid)
    cpu_before, began_at = _cpu_s(process), time.perf_counter()
    await asyncio.gather(
        *(ask(server.port, bodies[first::num_connections]) for first in range(num_connections))
    )
    server.rates.append(len(bodies) / (time.perf_counter() - began_at))
    server.cpu_us.append((_cpu_s(process) - cpu_before) / len(bodies) * 1e6)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def wait_listening(server: Server, body: bytes) -> None:
    """Until it answers; a node refuses with 503 while its engine starts."""
    deadline = time.monotonic() + 120
    while True:
        try:
            await ask(server.port, [body])
        except (OSError, EOFError, Refused) as error:
            if isinstance(error, Refused) and error.status != 503:
                raise
            if time.monotonic() > deadline or server.process.poll() is not None:
                arguments.refuse(f"{server.name} does not answer ({error}); see its words above, if any")
            await asyncio.sleep(0.1)
        else:
            return


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def row(server: Server) -> dict[str, float]:
    p50_us, p99_us = map(float, np.percentile(server.latencies_us, [50, 99]))
    return {
        "latency_p50_us": round(p50_us, 1),
        "latency_p99_us": round(p99_us, 1),
        "requests_per_s": round(statistics.median(server.rates), 1),
        "cpu_us_per_request": round(statistics.median(server.cpu_us), 1),
    }


async def take_turns(servers: list[Server], args: argparse.Namespace, bodies: Sequence[bytes]) -> None:
    for server in servers:
        arguments.tell(f"{server.name} starts")
        await wait_listening(server, bodies[0])
        await ask(server.port, bodies[: -(-len(bodies) // 10)])
    for number in range(1, args.rounds + 1):
        arguments.tell(f"round {number} of {args.rounds}")
        for server in servers:
            await measure(server, bodies, args.connections)


def compare(args: argparse.Namespace, bodies: Sequence[bytes]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or byte_folder.make(Path(folder) / "bytes")
        servers = []
        try:
            for name, (command, port) in commands(free_port, model).items():
                servers.append(Server(name, subprocess.Popen(command), port))
            asyncio.run(take_turns(servers, args, bodies))
        except Refused as error:
            arguments.refuse(str(error))
        finally:
            for server in servers:
                server.process.terminate()
            for server in servers:
                server.process.wait()
    rows = {server.name: row(server) for server in servers}
    cpu = {name: one["cpu_us_per_request"] for name, one in rows.items()}
    if not cpu["fastapi"]:
        arguments.refuse("processors' time is counted in hundredths of a second: give more --num-requests")
    return {
        "bench": "http",
        "rows": rows,
        "ratio": round(cpu["kvring"] / cpu["fastapi"], 2),
        "overhead_cpu_us_over_asgi": round(cpu["kvring"] - cpu["asgi"], 1),
    }


def serve(name: str, port: int) -> None:
    """Is one of the peers, until it is ended."""
    import uvicorn

    app = asgi if name == "asgi" else fastapi_app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", loop="uvloop", http="httptools")


def main() -> None:
    args = _options()
    if args.serve:
        serve(args.serve, args.port)
        return
    try:
        rows = [request_file.Row("the bench's own", PROMPT, args.max_tokens)]
        if args.requests:
            rows = request_file.read(args.requests, args.max_tokens)
        result = compare(args, list(itertools.islice(itertools.cycle(bodies(rows)), args.num_requests)))
    except Unfit as error:
        arguments.refuse(str(error))
    arguments.tell(f"{'':10}{'p50 us':>10}{'p99 us':>10}{'req/s':>10}{'cpu us':>10}")
    for name, one in result["rows"].items():
        arguments.tell(f"{name:10}" + "".join(f"{value:10.1f}" for value in one.values()))
    print(json.dumps(result))


def _tokenizer(text: str) -> Path:
    arguments.file(f"{text}/tokenizer.json")
    return Path(text)


def _options() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    add, count = parser.add_argument, arguments.count
    add("--model", type=_tokenizer, help="folder with the tokenizer.json to use (default: one token a byte)")
    add(
        "--requests",
        type=arguments.file,
        metavar="FILE",
        help="as bench.throughput's (default: one short prompt)",
    )
    add("--num-requests", type=count, default=2000, help="to each server in a round (default 2000)")
    add("--max-tokens", type=count, default=1, help="of an answer whose row does not say it (default 1)")
    add("--connections", type=count, default=16, help="at once, for the rate (default 16)")
    add("--rounds", type=count, default=5, help="turns of each server (default 5)")
    add("--serve", choices=("asgi", "fastapi"), help="only be one of the peers, at --port")
    add("--port", type=arguments.whole, default=0, help="of that peer (default: any)")
    return parser.parse_args()


if __name__ == "__main__":
    arguments.run(main)
