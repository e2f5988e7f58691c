"""Copies of a model folder, each broken in one way."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path


def truncated(folder: Path) -> None:
    """A download that was cut off."""
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1000])


def pickle_only(folder: Path) -> None:
    """Weights in the format that can run code when it is read."""
    for weights in folder.glob("*.safetensors*"):
        weights.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")


def unknown_family(folder: Path) -> None:
    """An architecture that the engine does not have."""
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"architectures": ["MambaForCausalLM"]}))


def without_config(folder: Path) -> None:
    """A folder that holds weights alone."""
    (folder / "config.json").unlink()


BREAKAGES: dict[str, Callable[[Path], None]] = {
    "truncated": truncated,
    "pickle-only": pickle_only,
    "unknown-family": unknown_family,
    "without-config": without_config,
}


def make(good: Path, into: Path) -> None:
    """Makes a folder for each breakage, readable by any user."""
    into.chmod(0o755)
    for name, breakage in BREAKAGES.items():
        shutil.copytree(good, into / name)
        breakage(into / name)
        for path in (into / name, *(into / name).iterdir()):
            path.chmod(0o755)
