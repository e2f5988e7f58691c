"""`python -m kvring_operator`: run the operator, or print a plan.

`run` (the default) is configured by the environment, see `settings.py`; `plan -f FILE` needs no cluster.
"""

import os
import signal
import sys

if __name__ == "__main__":
    # Process 1 of a container never hears a signal that it has no handler for, and the imports below take
    # a second: until they are done, there is nothing to end in order.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

import asyncio
import gc
import logging
import random  # jitter of retries; the one place that holds real randomness
from typing import Any, cast

import kopf

from kvring_operator import handlers, health, login, plan_cli, settings
from kvring_operator.assembly import Operator, until_stopped
from kvring_operator.clock import Clock, SystemClock
from kvring_operator.kube import ApiError, Kube, NotFound
from kvring_operator.leader import Elector, LostLease
from kvring_operator.nodes import Nodes
from kvring_operator.resources import CLUSTERS

CRD_POLL_S = 1.0
GC_THRESHOLD = 50_000
"""Allocations between two looks for garbage cycles.

JSON of thousands of pods makes millions of objects and no cycle: with Python's own 700, two thirds of the
time of reading them went into looking.
"""
DEEPEST = 50_000
"""Calls within calls.

The API server takes JSON of 10 000 objects within objects, and `spec.template` may be such: with Python's own
1000, reading it would end kopf's watch, and the operator of all pools with it.
"""
_log = logging.getLogger("kvring_operator")


def main(argv: list[str] | None = None) -> int:
    """The console script."""
    gc.set_threshold(GC_THRESHOLD)
    sys.setrecursionlimit(DEEPEST)
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["plan"]:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `plan ... | head` ends when head has seen enough
        return plan_cli.main(words[1:])
    if words not in ([], ["run"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        chosen = settings.read()
        found = login.find(SystemClock())
    except (settings.BadSettings, login.NoCluster) as error:
        print(f"kvring-operator: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=chosen.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # it tells each event that it forwards
    return asyncio.run(run(chosen, found, SystemClock()))


async def run(chosen: settings.Settings, found: login.Login, clock: Clock) -> int:
    """Take part in the election, lead when it is our turn, until a signal; 1 when the Lease was lost."""
    kube, nodes = Kube(found), Nodes(clock)
    elector = Elector(kube, clock, chosen.namespace, chosen.lease_name, chosen.identity)
    runners = await health.serve(chosen.metrics_port, chosen.health_port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def lead() -> None:
        operator = Operator(chosen, kube, nodes, clock, elector.token, random.random)
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(elector.renew()), group.create_task(operator.run())]
            namespaces = await allowed(kube, chosen.watch_namespaces)
            await until_crd(kube, clock, namespaces[0] if namespaces else "")
            await kopf.operator(
                registry=handlers.registry(found, operator.queue.add),
                settings=handlers.settings(),
                identity=cast("Any", chosen.identity),  # else kopf asks for a user name: pods have none
                clusterwide=not chosen.watch_namespaces,
                namespaces=namespaces,
                stop_flag=stop,
            )
            for task in beside:
                task.cancel()

    code = 0
    try:
        await until_stopped(stop, elector.lead(lead))
    except* LostLease as lost:
        _log.error("%s; ending, so that a fresh process can take part again", lost.exceptions[0])
        code = 1
    finally:
        for runner in runners:
            await runner.cleanup()
        await nodes.close()
        await kube.close()
    return code


async def allowed(kube: Kube, namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Those whose InferenceClusters we may list, or all if it is none: kopf ends at one that it may not."""
    forbidden = set()
    for namespace in namespaces:
        try:
            await kube.list_page(CLUSTERS, namespace, "", 1, "")
        except ApiError as error:
            if error.code == 403:
                forbidden.add(namespace)
                _log.error("namespace %s is passed over until this process starts anew: %s", namespace, error)
    return tuple(namespace for namespace in namespaces if namespace not in forbidden) or namespaces


async def until_crd(kube: Kube, clock: Clock, namespace: str) -> None:
    """Wait for our own kind: kopf looks for it once, and the chart may have made it a moment ago.

    It is asked for in a `namespace` that we may see (empty: everywhere): elsewhere 403 hides that it lacks.
    """
    told = ""
    while True:
        try:
            await kube.list_page(CLUSTERS, namespace, "", 1, "")
        except NotFound:
            trouble = (
                "the CustomResourceDefinition of InferenceCluster is not there yet: "
                "install the chart, or kubectl apply -f crds/inferenceclusters.yaml"
            )
        except ApiError as error:
            if error.code == 403:
                return
            trouble = f"InferenceClusters: {error}"
        else:
            return
        if trouble != told:  # once, and not each second until somebody does it
            _log.warning(trouble)
            told = trouble
        await clock.sleep(CRD_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
