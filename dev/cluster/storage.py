"""A PersistentVolume that is a folder of the host, with the claim that binds it."""

from pathlib import Path
from typing import Any

SIZE = "100Gi"  # of no effect on a folder, but a claim has to name one


def host_volume(claim: str, folder: Path, namespace: str = "default") -> list[dict[str, Any]]:
    """Manifests of a PersistentVolume on `folder`, which every machine sees, and of the claim bound to it."""
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume_name = f"{namespace}-{claim}"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name},
        "spec": common
        | {
            "capacity": {"storage": SIZE},
            "claimRef": {"namespace": namespace, "name": claim},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
    bound = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": common | {"volumeName": volume_name, "resources": {"requests": {"storage": SIZE}}},
    }
    return [volume, bound]
