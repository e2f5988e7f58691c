"""The cluster that `make run` works on, and tools to reach it with: the local one or one of the user's."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev import build, commands, failure, paths

CURRENT = "context"  # CLUSTER=context: the kubeconfig's current one; any other value is a context's name


@dataclass(frozen=True)
class Target:
    """A cluster, and programs with the options that make them speak to it."""

    kubectl_command: tuple[str, ...]
    helm_command: tuple[str, ...]  # empty: there is no helm

    def kubectl(self, *words: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Runs kubectl and returns what it printed."""
        return commands.run([*self.kubectl_command, *words], stdin=stdin, timeout_s=timeout_s)

    def get(self, *words: str) -> Any:
        """What `kubectl get` answers, as JSON."""
        return json.loads(self.kubectl("get", *words, "--output=json"))

    def has(self, *words: str) -> bool:
        """Whether `kubectl get` finds something."""
        return bool(self.kubectl("get", "--ignore-not-found", "--output=name", *words).strip())

    def apply(self, objects: list[dict[str, Any]], *flags: str) -> None:
        """Applies objects in one call."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", *flags, "--filename=-", stdin=json.dumps(listed))


def local() -> Target:
    """The local cluster, by the tools built for it."""
    kubeconfig = f"--kubeconfig={paths.kubeconfig()}"
    kubectl, helm = build.program(build.KUBERNETES, "kubectl"), build.program(build.HELM, "helm")
    return Target((str(kubectl), kubeconfig), (str(helm), kubeconfig))


def of_user(env: Mapping[str, str]) -> Target:
    """The cluster that CLUSTER names in the user's kubeconfig.

    Raises:
        Failure: no kubectl, no registry to push to, or the cluster does not answer.
    """
    name = env["CLUSTER"]
    if not env.get("IMAGES"):
        raise failure.Failure(
            f"CLUSTER={name} is set and IMAGES is not",
            "IMAGES=registry.example/team is where to push images; the cluster has to be able to pull them",
        )
    kubectl = _find("kubectl")
    if not kubectl:
        raise failure.Failure("there is no kubectl", "install it, or `make up` once, which builds one")
    helm = _find("helm")
    of_kubectl, of_helm = (
        ((), ()) if name == CURRENT else ((f"--context={name}",), (f"--kube-context={name}",))
    )
    target = Target((kubectl, *of_kubectl), (helm, *of_helm) if helm else ())
    commands.run(
        [*target.kubectl_command, "version"], remedy="`kubectl config get-contexts` lists what there is"
    )
    return target


def _find(program: str) -> str:
    """The user's own, or the one built for the local cluster, or nothing."""
    own = os.pathsep.join([os.environ.get("PATH", ""), str(paths.binaries())])
    return str(Path(found)) if (found := shutil.which(program, path=own)) else ""
