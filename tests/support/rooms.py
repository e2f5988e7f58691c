"""A namespace of a test's own, with the demo models on a claim, and nothing of an earlier run in it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from dev import paths
from dev.cluster import storage
from tests.support import kube

CLAIM = "models"
GONE_S = 120.0


def name_of(test: str) -> str:
    """A namespace's name from a test's; short enough that objects' names may hold it."""
    plain = re.sub(r"[^a-z0-9]+", "-", test.lower().removeprefix("test_"))
    return f"t-{plain}"[:40].strip("-")


@contextlib.contextmanager
def opened(api: kube.Api, name: str) -> Iterator[str]:
    """The namespace with its claim on the demo models; nobody waits for the end of its deletion."""
    forget(api, name)
    try:
        with api.namespace(name):
            mount(api, name, CLAIM, paths.models())
            yield name
    finally:
        for volume in volumes(api, name):
            api.delete("PersistentVolume", volume, None)


def mount(api: kube.Api, namespace: str, claim: str, folder: Path) -> None:
    """A claim on a folder of the host."""
    for manifest in storage.host_volume(claim, folder, namespace):
        api.apply(manifest)


def forget(api: kube.Api, name: str) -> None:
    """Return when nothing is left of an earlier namespace of this name."""
    api.delete("Namespace", name, None)
    api.wait_gone("Namespace", name, None, within_s=GONE_S)
    for volume in volumes(api, name):
        api.delete("PersistentVolume", volume, None)
        api.wait_gone("PersistentVolume", volume, None, within_s=GONE_S)


def volumes(api: kube.Api, namespace: str) -> list[str]:
    """Names of the volumes that are kept for claims of a namespace."""
    found = api.list("PersistentVolume", None)
    return [
        volume["metadata"]["name"]
        for volume in found
        if volume["spec"].get("claimRef", {}).get("namespace") == namespace
    ]
