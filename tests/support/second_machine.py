"""A machine beside the host for pools that are drained, cut off and lost; other people's pods stay off it."""

import contextlib
from collections.abc import Iterator

from dev.cluster import kubectl, layout, machines
from tests.support import kube, poll, pools

NAME = "m8"
TAINT = {"key": "kvring.dev/second-machine", "effect": "NoSchedule"}
PULL_S = 300.0
OPEN_S = 60.0

_PREFERRED = {
    "weight": 100,
    "preference": {
        "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}]
    },
}
SPEC: kube.Object = pools.SMALL | {
    "template": {
        "spec": {
            "tolerations": [TAINT | {"operator": "Exists"}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_PREFERRED]}},
        }
    }
}
"""A pool whose members go to the machine while it takes any, and elsewhere otherwise."""


@contextlib.contextmanager
def added(api: kube.Api, node_image: str) -> Iterator[str]:
    """The machine's name; it holds the image already, so members start there as quickly as elsewhere."""
    machines.add(NAME)
    try:
        api.patch("Node", NAME, {"spec": {"taints": [TAINT]}}, None)
        _pull(api, node_image)
        yield NAME
    finally:
        if layout.named(NAME) in layout.present():
            machines.lose(NAME)
        kubectl.run("delete", "node", NAME, "--ignore-not-found")


def wait_open(api: kube.Api) -> None:
    """Return when the scheduler sends tolerating pods here.

    A machine that is heard again is Ready up to 5 s before the taint of its silence is taken off.
    """
    poll.until(
        lambda: api.get("Node", NAME, None)["spec"],
        lambda spec: spec.get("taints") == [TAINT] and not spec.get("unschedulable"),
        what=f"{NAME} has no taint but the tests' own",
        within_s=OPEN_S,
    )


def _pull(api: kube.Api, image: str) -> None:
    name = f"pull-on-{NAME}"
    container = {"name": "pull", "image": image, "command": ["true"]}
    spec = {"nodeName": NAME, "restartPolicy": "Never", "containers": [container]}
    api.delete("Pod", name, grace_s=0)
    api.wait_gone("Pod", name, within_s=60)
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    poll.until(
        lambda: api.get("Pod", name)["status"],
        lambda status: status.get("phase") == "Succeeded",
        what=f"{NAME} has pulled {image}",
        within_s=PULL_S,
    )
    api.delete("Pod", name)
