"""Where everything built and running lies: one folder outside the checkout, shared by all clones."""

import hashlib
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def home() -> Path:
    """KVRING_HOME, by default a folder in the user's cache folder."""
    if chosen := os.environ.get("KVRING_HOME"):
        return Path(chosen).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(cache).expanduser() / "kvring").resolve()


def binaries() -> Path:
    """Stable links to the command line tools for people: kubectl, helm."""
    return home() / "bin"


def built(name: str, key: str) -> Path:
    """What was built for `name` from sources whose hash is `key`."""
    return home() / "built" / f"{name}-{key}"


def tools() -> Path:
    """What making things needs and the host has not."""
    return home() / "tools"


def digest(content: bytes) -> str:
    """Names a folder after what its content is made from."""
    return hashlib.sha256(content).hexdigest()[:12]


def images() -> Path:
    """Everything about container images."""
    return home() / "images"


def registry() -> Path:
    """The local registry's blobs; they outlive `make down`."""
    return images() / "registry"


def pulled(machine: str) -> Path:
    """A machine's own copies of the images it pulled; they outlive `make down`."""
    return images() / "pulled" / machine


def models() -> Path:
    """Model folders, mounted into pods through the claim `models`."""
    return home() / "models"


def run() -> Path:
    """State of the running local cluster; `make down` empties it."""
    return home() / "run"


def kubeconfig() -> Path:
    """The administrator's kubeconfig of the running local cluster."""
    return run() / "admin.kubeconfig"


def audit_log() -> Path:
    """One JSON line for each write that the API server accepted."""
    return run() / "audit" / "audit.log"


def machine(name: str) -> Path:
    """State of one machine of the running cluster."""
    return run() / "machines" / name
