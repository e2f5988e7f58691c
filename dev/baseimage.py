"""The base image for hosts that reach no public image registry: Debian with Python, by debootstrap."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from dev import buildah, commands, paths, progress

SUITE = "bookworm"
# python:3.11-slim brings the same: an interpreter called `python`, pip for building, the certificates.
PACKAGES = ("python3", "python3-pip", "ca-certificates")
DROPPED = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)
CONTAINERFILE = """\
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
"""
DEBOOTSTRAP_S = 1800


def key() -> str:
    """Hash of what the base is made from."""
    return hashlib.sha256(repr((SUITE, PACKAGES, DROPPED, CONTAINERFILE)).encode()).hexdigest()[:12]


def name() -> str:
    """The base's name in buildah's storage."""
    return f"localhost/kvring/base:{key()}"


def ensure() -> str:
    """Builds the base unless it is there; returns its name."""
    if not buildah.has(name()):
        _build()
    return name()


def _build() -> None:
    paths.images().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".base-", dir=paths.images()))
    try:
        root = folder / "root"
        with progress.step(f"base image: Debian {SUITE} with Python"):
            commands.run(
                ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root],
                timeout_s=DEBOOTSTRAP_S,
                remedy="a Debian mirror must be reachable; then repeat",
            )
            _finish(root)
            commands.run(["tar", "-C", root, "-cf", folder / "root.tar", "."])
            shutil.rmtree(root)
            (folder / "Containerfile").write_text(CONTAINERFILE)
            buildah.build(folder / "Containerfile", folder, name())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _finish(root: Path) -> None:
    for dropped in DROPPED:
        shutil.rmtree(root / dropped, ignore_errors=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    root.chmod(0o755)  # debootstrap made it inside a private folder
