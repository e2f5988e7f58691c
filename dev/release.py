"""Puts the chart of this checkout into a cluster."""

from collections.abc import Mapping

from dev import commands, manifests, progress
from dev.images import Reference
from dev.target import Target

OPERATOR_READY_S = 180


def install(cluster: Target, references: Mapping[str, Reference]) -> None:
    """Installs or upgrades the chart with these images, by name; returns when the operator is ready."""
    values = {
        kind: {"repository": references[name].repository, "tag": references[name].tag}
        for kind, name in (("image", "operator"), ("nodeImage", "node"))
    }
    with progress.step("install the chart"):
        if cluster.helm_command:
            _install_by_helm(cluster, values)
        else:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": manifests.NAMESPACE}}
            cluster.apply([namespace, *manifests.render(values)], "--server-side", "--force-conflicts")
    with progress.step("operator ready"):
        cluster.kubectl(
            *("rollout", "status", f"deployment/{manifests.RELEASE}", f"--namespace={manifests.NAMESPACE}"),
            f"--timeout={OPERATOR_READY_S}s",
            timeout_s=OPERATOR_READY_S + 10,
        )


def _install_by_helm(cluster: Target, values: Mapping[str, Mapping[str, str]]) -> None:
    # Helm takes an upgrade that was interrupted for one that still runs, and would refuse for ever.
    unfinished = f"owner=helm,name={manifests.RELEASE},status in (pending-install,pending-upgrade)"
    cluster.kubectl("delete", "secret", f"--namespace={manifests.NAMESPACE}", f"--selector={unfinished}")
    helm = cluster.helm_command
    # Version 4 applies on the server, where it meets other owners of fields: kubectl, say, for the CRD.
    is_4 = commands.run([*helm, "version", "--short"]).startswith("v4")
    settings = [
        f"--set={kind}.{name}={value}" for kind, image in values.items() for name, value in image.items()
    ]
    flags = ["--create-namespace", "--take-ownership", *(["--force-conflicts"] if is_4 else [])]
    place = f"--namespace={manifests.NAMESPACE}"
    commands.run(
        [*helm, "upgrade", "--install", manifests.RELEASE, manifests.CHART, place, *flags, *settings]
    )
