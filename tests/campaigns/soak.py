"""A long crowd of clients of every kind at one node: `python -m tests.campaigns.soak --requests 20000`.

The node is a real one, a process of its own on 127.0.0.1, with a tiny random model unless another is given.
Afterwards it must be as it was after the first thousand: no page, request, task, file or thread more, and
memory within a margin. Prints progress, and one JSON object on the last line; exits with 1 for a leak.
"""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from bench import arguments
from bench.contest import ours
from tests.support import node as nodes
from tests.support import poll, tiny_models, wild_clients
from tests.support.node import Node

MARGIN_BYTES = 48 << 20
"""What either process may grow by: its allocators' slack, far below a few kB for each request."""
PATIENCE_S = 120.0
WARM_UP = 1000
"""Requests after which everything that is made once has been made."""


def quiet(node: Node) -> dict[str, Any]:
    """The node's figures once nobody asks it for anything."""

    def now() -> dict[str, Any]:
        answer = node.http.get("/v1/metrics").json()
        return {
            name: answer[name]
            for name in ("requests_running", "requests_waiting", "pages_used", "front_tasks")
        }

    front, engine = psutil.Process(node.process.pid), node.engine()
    idle = poll.until(
        lambda: (now(), len(front.net_connections(kind="tcp"))),
        lambda seen: (
            not any((seen[0]["requests_running"], seen[0]["requests_waiting"], seen[0]["pages_used"]))
            and seen[1] <= 2
        ),  # the listener, and this question
        what="an idle node",
        within_s=60,
        every_s=0.2,
    )[0]
    processes = {"front": front, "engine": engine}
    return {
        **idle,
        **{f"{name}_files": one.num_fds() for name, one in processes.items()},
        **{f"{name}_threads": one.num_threads() for name, one in processes.items()},
        **{f"{name}_rss_bytes": one.memory_info().rss for name, one in processes.items()},
    }


def kinds(num_requests: int, rng: random.Random) -> Iterator[wild_clients.Client]:
    names, weights = list(wild_clients.CLIENTS), list(wild_clients.CLIENTS.values())
    yield from rng.choices(names, weights, k=num_requests)


async def crowd(url: str, num_requests: int, num_clients: int, seed: int) -> Counter[str]:
    """All requests, `num_clients` at a time; how many came of each kind."""
    rng = random.Random(seed)
    waiting = kinds(num_requests, rng)
    counts: Counter[str] = Counter()
    began_at = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)

    async def come(number: int) -> None:
        own = random.Random(seed * 1000 + number)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for client in waiting:
                await client(session, url, own)
                counts[client.__name__] += 1
                if counts.total() % 1000 == 0:
                    print(f"{counts.total():>7} requests, {time.monotonic() - began_at:.0f} s", flush=True)

    async with asyncio.TaskGroup() as group:
        for number in range(num_clients):
            group.create_task(come(number))
    return counts


def judge(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what has leaked."""
    return [
        name
        for name, value in after.items()
        if value > before[name] + (MARGIN_BYTES if name.endswith("_rss_bytes") else 0)
    ]


def soak(node: Node, num_requests: int, num_clients: int, seed: int) -> dict[str, Any]:
    """The campaign on a node that is ready."""
    num_first = min(WARM_UP, num_requests // 2)
    asyncio.run(crowd(node.url, num_first, num_clients, seed))
    before = quiet(node)
    began_at = time.monotonic()
    counts = asyncio.run(crowd(node.url, num_requests - num_first, num_clients, seed + 1))
    took_s = time.monotonic() - began_at
    after = quiet(node)
    node.terminate()
    return {
        "campaign": "soak",
        "requests": num_requests,
        "seed": seed,
        "kinds": dict(counts),
        "took_s": round(took_s, 1),
        "before": before,
        "after": after,
        "leaks": judge(before, after),
        "errors_logged": sum(line["level"] in ("error", "critical") for line in node.lines()),
        "exit_code": node.exit_code(within_s=60),
    }


def main() -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument("--requests", type=arguments.count, default=20_000, help="default 20000")
    parser.add_argument("--clients", type=arguments.count, default=24, help="at a time (default 24)")
    parser.add_argument("--seed", type=arguments.whole, default=0, help="default 0")
    parser.add_argument("--model", type=ours.folder, help="default: a tiny random one")
    parser.add_argument(
        "--cache-bytes", default="8Mi", help="of the KV cache (default 8Mi: a tiny model fills it)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = args.model
        if model is None:
            model = Path(folder) / "tiny"
            tiny_models.qwen3(model)
        with nodes.real(model, Path(folder), "--cache-bytes", args.cache_bytes) as node:
            node.wait_ready()
            result = soak(node, args.requests, args.clients, args.seed)
    print(json.dumps(result))
    return 1 if result["leaks"] or result["errors_logged"] or result["exit_code"] else 0


if __name__ == "__main__":
    arguments.run(main)
