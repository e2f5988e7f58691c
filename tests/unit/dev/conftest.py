"""A home of its own for tests of `dev`."""

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """KVRING_HOME, empty."""
    monkeypatch.setenv("KVRING_HOME", str(tmp_path))
    return tmp_path
