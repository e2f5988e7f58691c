"""How long a pool takes from apply to Ready, beside a Deployment of the very same pods on the same cluster.

    python -m bench.ready --replicas 2 --rounds 3 --uri pvc://models/demo

Needs the local cluster with images and models in place (make run). Both are timed from the request that makes
the object to the moment when all its pods are Ready, rounds interleaved; the difference is what the operator
adds. Progress goes to standard error; the last line of standard output is one JSON object:

  pool_ready_s, deployment_ready_s   seconds, medians of the rounds
  ratio                              the first through the second

The exit status is 2 when there is no cluster, 130 when interrupted.
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any

import httpx
from bench import arguments
from dev import paths
from tests.support import kube, pools, release, rooms

KEPT = ("containers", "volumes", "securityContext", "enableServiceLinks", "terminationGracePeriodSeconds")
"""What of a member's pod makes it work; the rest is the API server's, or about its place in the pool."""


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument(
        "--replicas", type=arguments.count, default=2, help="members, and pods of the Deployment (default 2)"
    )
    parser.add_argument("--rounds", type=arguments.count, default=3, help="of both, in turns (default 3)")
    parser.add_argument("--uri", default="pvc://models/demo", help="the model (default pvc://models/demo)")
    options = parser.parse_args()
    if not paths.kubeconfig().is_file():
        arguments.refuse("there is no local cluster; start it with make run")
    try:
        rounds = _rounds(options)
    except httpx.TransportError as error:
        arguments.refuse(f"the local cluster does not answer ({error}); start it with make run")
    pool_s, deployment_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    result = {
        "bench": "ready",
        "replicas": options.replicas,
        "rounds": options.rounds,
        "pool_ready_s": round(pool_s, 2),
        "deployment_ready_s": round(deployment_s, 2),
        "ratio": round(pool_s / deployment_s, 2),
    }
    print(json.dumps(result))


def _rounds(options: argparse.Namespace) -> list[tuple[float, float]]:
    with kube.Api.connect(paths.kubeconfig()) as api:
        release.install(api).wait_led()
        with rooms.opened(api, "bench-ready") as namespace:
            return [_round(api, namespace, options) for _ in range(options.rounds)]


def _round(api: kube.Api, namespace: str, options: argparse.Namespace) -> tuple[float, float]:
    pool = pools.Pool(api, "chat", namespace)
    started = time.monotonic()
    pool.apply({**pools.SMALL, "model": {"uri": options.uri}, "replicas": options.replicas})
    pool.wait_ready(options.replicas)
    pool_s = time.monotonic() - started
    template = next(iter(pool.staying().values()))
    pool.delete()
    pool.wait_gone()
    api.create(_secret(namespace))
    started = time.monotonic()
    api.create(_deployment(template, namespace, options.replicas))
    pool.until(
        lambda: api.get("Deployment", "peer", namespace),
        lambda found: found.get("status", {}).get("readyReplicas") == options.replicas,
        "the Deployment's pods are Ready",
    )
    deployment_s = time.monotonic() - started
    api.delete("Deployment", "peer", namespace)
    api.delete("Secret", "peer", namespace)
    pool.until(
        lambda: api.list("Pod", namespace), lambda found: not found, "no pod of the last round is left"
    )
    print(f"pool {pool_s:.1f} s, Deployment {deployment_s:.1f} s", file=sys.stderr)
    return pool_s, deployment_s


def _deployment(pod: dict[str, Any], namespace: str, replicas: int) -> dict[str, Any]:
    spec = {name: pod["spec"][name] for name in KEPT if name in pod["spec"]}
    for volume in spec["volumes"]:
        if "secret" in volume:
            volume["secret"]["secretName"] = "peer"
    labels = {"app": "peer"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "peer", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _secret(namespace: str) -> dict[str, Any]:
    """The pool's own went with the pool."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "peer", "namespace": namespace},
        "stringData": {"key": "0" * 64},
    }


if __name__ == "__main__":
    arguments.run(main)
