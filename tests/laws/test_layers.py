"""The import contracts hold (make lint runs them), and each of them can fail: a planted import breaks it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
SOURCES = ("contract/src", "operator/src", "node/src")

PLANTED = [
    (
        "the contract imports the operator",
        "contract/src/kvring_contract/keys.py",
        "import kvring_operator.plan",
    ),
    ("the contract does I/O", "contract/src/kvring_contract/keys.py", "import socket"),
    ("the node imports the operator", "node/src/kvring_node/service.py", "import kvring_operator.plan"),
    (
        "the planner calls the API server",
        "operator/src/kvring_operator/plan.py",
        "import kvring_operator.kube",
    ),
    ("the planner reads a clock", "operator/src/kvring_operator/plan.py", "import time"),
    ("the reconciler knows kopf", "operator/src/kvring_operator/reconcile.py", "import kopf"),
    ("the scheduler sees tensors", "node/src/kvring_node/engine/scheduler.py", "import torch"),
    (
        "the scheduler sees tensors from afar",
        "node/src/kvring_node/batch.py",
        "import kvring_node.pages.store",
    ),
    ("the service answers HTTP", "node/src/kvring_node/service.py", "import fastapi"),
    ("a page knows its model", "node/src/kvring_node/pages/pool.py", "import kvring_node.runner"),
]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the packages under `root`, not over the installed ones."""
    return subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-cache",
            "--no-logo",
            "--config",
            root / "pyproject.toml",
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(root / source) for source in SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for source in SOURCES:
        shutil.copytree(REPO / source, tmp_path / source)
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("what", "room", "line"), PLANTED, ids=[row[0] for row in PLANTED])
def test_a_forbidden_import_breaks_a_contract(what: str, room: str, line: str, copy: Path) -> None:
    path = copy / room
    path.write_text(f"{path.read_text()}\n{line}\n")
    result = lint_imports(copy)
    assert result.returncode != 0, what
    assert "BROKEN" in result.stdout


def test_a_room_that_nobody_placed_breaks_a_contract(copy: Path) -> None:
    (copy / "node/src/kvring_node/utils.py").write_text('"""Odds and ends."""\n')
    assert lint_imports(copy).returncode != 0


def test_the_copy_itself_passes(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout + result.stderr
