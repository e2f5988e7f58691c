"""A program that is told to end while it still starts ends at once.

In a container it is process 1, which never hears a signal that it has no handler for: its pod would stay for
its whole grace.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import poll


def handles_sigterm(process: subprocess.Popen) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize(
    ("program", "heavy"), [("kvring_node", "fastapi"), ("kvring_operator", "kopf")], ids=str
)
def test_it_can_be_ended_before_its_heavy_imports(program: str, heavy: str, tmp_path: Path) -> None:
    imported = tmp_path / "imported"
    with (
        imported.open("wb") as told,
        subprocess.Popen([sys.executable, "-v", "-m", program], stdout=told, stderr=told) as process,
    ):
        try:
            poll.until(lambda: handles_sigterm(process), what="it hears", within_s=30, every_s=0.001)
            process.terminate()
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
    assert f"import '{heavy}'" not in imported.read_text()
