"""kubectl as the cluster's administrator."""

import datetime
import json
import os
from collections.abc import Sequence
from typing import Any

from dev import build, commands, paths
from dev.failure import Failure


def run(*words: str, stdin: str | None = None, timeout_s: float = 60) -> str:
    """Runs kubectl and returns what it printed."""
    return commands.run(
        [str(build.program(build.KUBERNETES, "kubectl")), *_as_admin(), *words],
        stdin=stdin,
        timeout_s=timeout_s,
    )


def succeeds(*words: str) -> bool:
    """Whether kubectl, run for its exit status alone, ends well."""
    return commands.succeeds([str(build.program(build.KUBERNETES, "kubectl")), *_as_admin(), *words])


def get(*words: str) -> Any:
    """What `kubectl get` answers, as JSON."""
    return json.loads(run("get", *words, "--output=json"))


def apply(objects: Sequence[dict[str, Any]]) -> None:
    """Server-side apply of all objects in one call."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    run(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=kvring-local",
        "--filename=-",
        stdin=json.dumps(listed),
    )


def is_ready(node: str, said_after: datetime.datetime | None = None) -> bool:
    """Whether the machine of this name is Ready, and its kubelet said so no earlier than `said_after`."""
    try:
        conditions = get("node", node)["status"].get("conditions", [])
    except Failure:  # not registered yet, or the API server is busy
        return False
    ready = [c for c in conditions if c["type"] == "Ready" and c["status"] == "True"]
    if said_after is None:
        return bool(ready)
    return any(datetime.datetime.fromisoformat(c["lastHeartbeatTime"]) >= said_after for c in ready)


def shell_line() -> str:
    """What makes a shell with this process's environment speak to the cluster."""
    line = f"export KUBECONFIG={paths.kubeconfig()} PATH={paths.binaries()}:$PATH"
    exceptions = commands.past_proxies(os.environ).get("NO_PROXY")
    return line if exceptions == os.environ.get("NO_PROXY") else f"{line} NO_PROXY={exceptions}"


def _as_admin() -> tuple[str, ...]:
    return (f"--kubeconfig={paths.kubeconfig()}", "--request-timeout=20s")
