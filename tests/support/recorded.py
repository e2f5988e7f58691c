"""Recorded workloads of others: in the folder KVRING_DATA, or `shared/data` beside the repository."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def path(name: str) -> Path:
    """A file by its name under the folder; skips the test where it is not there."""
    folder = Path(os.environ.get("KVRING_DATA") or REPOSITORY.parent / "shared/data")
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not in {folder}; set KVRING_DATA to the folder that holds it")
    return folder / name
