"""Where a member finds its model, by the scheme of `spec.model.uri`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract.model_uri import ModelUri, Scheme

NAME = "model"
_IMAGE_PATH = "/models/image"
_DOWNLOADS_PATH = "/models/downloads"


@dataclass(frozen=True)
class ModelVolume:
    """What `--model` is told, further flags, and the volume and mount that make it true."""

    model: str
    flags: tuple[str, ...] = ()
    volumes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()


def choose(uri: ModelUri, revision: str) -> ModelVolume:
    """A claim is mounted read-only, an image as a volume, a repository is downloaded.

    A file is there already.
    """
    if uri.scheme is Scheme.PVC:
        path = f"/models/{uri.source}"
        return ModelVolume(
            model=f"{path}/{uri.path}".rstrip("/"),
            volumes=(_volume({"persistentVolumeClaim": {"claimName": uri.source, "readOnly": True}}),),
            mounts=(_mount(path, read_only=True),),
        )
    if uri.scheme is Scheme.OCI:
        return ModelVolume(
            model=_IMAGE_PATH,
            volumes=(_volume({"image": {"reference": uri.source, "pullPolicy": "IfNotPresent"}}),),
            mounts=(_mount(_IMAGE_PATH, read_only=True),),
        )
    if uri.scheme is Scheme.HF:
        return ModelVolume(
            model=str(uri),
            flags=("--revision", revision, "--download-dir", _DOWNLOADS_PATH),
            volumes=(_volume({"emptyDir": {}}),),
            mounts=(_mount(_DOWNLOADS_PATH, read_only=False),),
        )
    return ModelVolume(model=uri.path)


def _volume(source: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"name": NAME, **source}


def _mount(path: str, *, read_only: bool) -> Mapping[str, Any]:
    return {"name": NAME, "mountPath": path, **({"readOnly": True} if read_only else {})}
