# ruff: noqa: A005  # run as `python -m bench.operator` only: as a script it would shadow the library
"""The operator as a process of its own against an API server over HTTP with thousands of recorded objects.

    python -m bench.operator --pods 5000 --clusters 200

The API server and the nodes run in the bench's own process and share the machine with the operator. There is
no peer: docs/bench-log.md has the goals. Progress goes to standard error; the last line of standard output is
one JSON object:

  first_decision_s             seconds from start to the first write that is not the Lease's
  first_decision_cpu_s         processor seconds that the operator took until then
  all_visited_s                seconds from start until every resource was visited
  edit_to_first_write_p50_ms   milliseconds from a spec's edit to the first write; _p99_ms likewise
  idle_writes                  writes that are not the Lease's in idle_s seconds at the end
  rss_mb, peak_rss_mb          the operator's memory at the end, and its most, in MiB
  load_1m                      the machine's load, for the reader

The exit status is 2 when it cannot be done as asked, 130 when interrupted.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench import arguments
from tests.support.api_double import ApiDouble
from tests.support.fleet import Fleet
from tests.support.nodes_double import NodesDouble

from kvring_operator.resources import CLUSTERS, PODS

DEADLINE_S = 120.0
RUN = (sys.executable, "-m", "kvring_operator")


def main() -> None:
    parser = arguments.parser(__doc__)
    count = arguments.count
    parser.add_argument("--pods", type=count, default=5000, help="of all clusters (default 5000)")
    parser.add_argument("--clusters", type=count, default=200, help="resources (default 200)")
    parser.add_argument("--edits", type=count, default=200, help="one after the other (default 200)")
    parser.add_argument(
        "--idle-s",
        type=arguments.positive,
        default=65.0,
        help="seconds watched at the end (default 65: longer than a resync, so one is in it)",
    )
    options = parser.parse_args()
    if options.pods < options.clusters:
        parser.error("--pods must be at least one for each of --clusters")
    print(json.dumps(asyncio.run(measure(options))))


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    api, nodes = ApiDouble(), NodesDouble()
    fleet = Fleet(given.clusters, given.pods // given.clusters)
    fleet.fill(api, nodes)
    api.take(PODS, "default", fleet.pods_of(given.clusters // 2)[0])
    api.warm()
    async with api.serve(), nodes.serve():
        with tempfile.TemporaryDirectory() as folder:
            await compile_beforehand(environ := environment(Path(folder), api.address))
            started = time.perf_counter()
            operator = await asyncio.create_subprocess_exec(*RUN, "run", env=environ, start_new_session=True)
            try:
                return {"pods": given.pods, "clusters": given.clusters} | await watch(
                    given, api, fleet, operator.pid, started
                )
            finally:
                operator.terminate()
                await operator.wait()


async def watch(
    given: argparse.Namespace, api: ApiDouble, fleet: Fleet, pid: int, started: float
) -> dict[str, Any]:
    await until(lambda: bool(decisions(api)))
    first_s, first_cpu_s = time.perf_counter() - started, cpu_s(pid)
    await until(lambda: len(visited(api)) == given.clusters)
    all_s = time.perf_counter() - started
    print(f"first decision {first_s:.2f} s, all visited {all_s:.2f} s, {rss_mb(pid)}", file=sys.stderr)
    await quiet(api, 3.0)
    edits = [await edit(api, fleet, number % given.clusters) for number in range(given.edits)]
    await quiet(api, 3.0)
    before = len(decisions(api))
    await asyncio.sleep(given.idle_s)
    print("written while idle:", decisions(api)[before:], file=sys.stderr)
    p50_ms, p99_ms = map(float, 1e3 * np.percentile(edits, [50, 99]))
    return {
        "first_decision_s": round(first_s, 2),
        "first_decision_cpu_s": round(first_cpu_s, 2),
        "all_visited_s": round(all_s, 2),
        "edit_to_first_write_p50_ms": round(p50_ms, 1),
        "edit_to_first_write_p99_ms": round(p99_ms, 1),
        "edits": len(edits),
        "idle_s": given.idle_s,
        "idle_writes": len(decisions(api)) - before,
        "load_1m": os.getloadavg()[0],
        **rss_mb(pid),
    }


def environment(folder: Path, address: str) -> dict[str, str]:
    context = {"cluster": "double", "user": "bench"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "double",
        "contexts": [{"name": "double", "context": context}],
        "clusters": [{"name": "double", "cluster": {"server": address}}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    environ = os.environ | {
        "KUBECONFIG": str(path),
        "KVRING_NODE_IMAGE": Fleet.IMAGE.name,
        "KVRING_METRICS_PORT": "0",
        "KVRING_HEALTH_PORT": "0",
        "KVRING_LOG_LEVEL": "error",
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ


async def compile_beforehand(environ: dict[str, str]) -> None:
    """As in the image, where bytecode is part of the layer."""
    compiling = await asyncio.create_subprocess_exec(
        *RUN, "plan", "-h", env=environ, stdout=asyncio.subprocess.DEVNULL
    )
    await compiling.wait()


async def edit(api: ApiDouble, fleet: Fleet, number: int) -> float:
    """Seconds from one more replica in a spec to the first write of that resource."""
    name = fleet.name(number)
    body = api.get(CLUSTERS, "default", name)
    assert body
    spec = {**body["spec"], "replicas": body["spec"]["replicas"] + 1}
    before = len(api.requests)
    api.put(CLUSTERS, {**body, "spec": spec, "metadata": {**body["metadata"], "generation": 2}})
    began = time.perf_counter()

    def written() -> bool:
        return any(method != "GET" and "/leases" not in path for method, path in api.requests[before:])

    await until(written)
    took = time.perf_counter() - began
    await quiet(api, 0.1)
    return took


def decisions(api: ApiDouble) -> list[tuple[str, str]]:
    return [(method, path) for method, path in api.writes if "/leases" not in path]


def visited(api: ApiDouble) -> set[str]:
    return {path for method, path in api.requests if method == "GET" and "/inferenceclusters/" in path}


async def until(is_so: Any) -> None:
    deadline = time.perf_counter() + DEADLINE_S
    while not is_so():
        if time.perf_counter() > deadline:
            arguments.refuse(f"the operator did not get there in {DEADLINE_S:.0f} s; ask for fewer --pods")
        await asyncio.sleep(0.002)


async def quiet(api: ApiDouble, duration_s: float) -> None:
    """Wait until nothing was written for `duration_s`."""
    count, since = len(decisions(api)), time.perf_counter()
    while time.perf_counter() - since < duration_s:
        await asyncio.sleep(0.02)
        if len(decisions(api)) != count:
            count, since = len(decisions(api)), time.perf_counter()


def cpu_s(pid: int) -> float:
    """Processor seconds that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> dict[str, float]:
    """Resident memory now and at its highest, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "rss_mb": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
        "peak_rss_mb": round(int(fields["VmHWM"].split()[0]) / 1024, 1),
    }


if __name__ == "__main__":
    arguments.run(main)
