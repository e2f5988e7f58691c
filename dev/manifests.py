"""`python -m dev.manifests`: the chart's copy of the CRD, and manifests/install.yaml from the chart.

The copy is a file and no link: Helm would say at each command that it follows one, and Windows has none.
"""

from typing import Any

import yaml
from dev import generated, paths
from helm_python import chart

CHART = paths.REPOSITORY / "charts/kvring"
CRD = paths.REPOSITORY / "crds/inferenceclusters.yaml"
CRD_COPY = CHART / "files/inferenceclusters.yaml"
INSTALL = paths.REPOSITORY / "manifests/install.yaml"
RELEASE = "kvring"
NAMESPACE = "kvring-system"
HEADER = """\
# kvring without Helm: kubectl apply --server-side -f install.yaml
# Made from charts/kvring by `make manifests`; do not edit.
"""
_FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")
"""Kinds that others need; the rest follows by kind and name."""


def render(values: dict[str, Any] | None = None, release: str = RELEASE) -> list[dict[str, Any]]:
    """Every object of the chart as Helm would install it, in the order in which it is written."""
    with chart.Chart.load(CHART) as loaded:
        files = loaded.render(values, name=release, namespace=NAMESPACE)
    manifests = [path for path in files if path.endswith(".yaml")]
    objects = [found for path in manifests for found in yaml.load_all(files[path], yaml.CSafeLoader) if found]
    return sorted(objects, key=_order)


def install() -> str:
    """The text of manifests/install.yaml."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    objects = [namespace, *(_without_helm(found) for found in render())]
    return HEADER + "".join(f"---\n{yaml.safe_dump(found, sort_keys=False, width=120)}" for found in objects)


def _order(found: dict[str, Any]) -> tuple[int, str, str]:
    kind = found["kind"]
    return (_FIRST.index(kind) if kind in _FIRST else len(_FIRST), kind, found["metadata"]["name"])


def _without_helm(found: dict[str, Any]) -> dict[str, Any]:
    """Nothing here is managed by Helm, so no label may say so."""
    for metadata in (found["metadata"], found.get("spec", {}).get("template", {}).get("metadata", {})):
        for key in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
            metadata.get("labels", {}).pop(key, None)
        metadata.get("annotations", {}).pop("helm.sh/resource-policy", None)
    return found


if __name__ == "__main__":
    generated.main(
        "dev.manifests",
        "Copy the CRD into the chart and render manifests/install.yaml from it.",
        {CRD_COPY: CRD.read_text, INSTALL: install},
    )
