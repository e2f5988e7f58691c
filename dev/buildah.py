"""Buildah with its own storage: images without a daemon, out of ordinary Dockerfiles."""

import os
import shutil
from pathlib import Path

from dev import commands, paths

BUILD_S = 1800


def run(*arguments: str | Path, timeout_s: float = BUILD_S, stdin: str | None = None) -> str:
    """Runs one buildah command.

    Raises:
        Failure: buildah is missing or failed.
    """
    own = {"BUILDAH_ISOLATION": "chroot", "TMPDIR": str(_temporary())}
    placed = ("--storage-driver=overlay", f"--root={_storage() / 'root'}", f"--runroot={_storage() / 'run'}")
    return commands.run(
        ["buildah", *placed, *arguments], env=os.environ | own, timeout_s=timeout_s, stdin=stdin
    )


def has(image: str) -> bool:
    """Whether the storage holds an image of this name."""
    return bool(run("images", "--quiet", "--filter", f"reference={image}").strip())


def forget_interrupted() -> None:
    """Removes what builds left that did not end: half an image each, and large files."""
    run("rm", "--all")
    for left_over in _temporary().iterdir():
        shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()


def build(dockerfile: Path, context: Path, image: str, *options: str) -> None:
    """Builds an image; layers that are there already are taken as they are."""
    run("build", "--layers", *options, f"--file={dockerfile}", f"--tag={image}", context)


def push(image: str, reference: str) -> None:
    """Pushes to a registry that speaks plain HTTP; layers it holds already are not sent again."""
    run("push", "--tls-verify=false", "--compression-format=zstd", image, f"docker://{reference}")


def keep_newest(name: str, number: int) -> list[str]:
    """Removes the older images of one name and the layers that only they held; returns the tags that stay."""
    listed = run("images", "--format={{.CreatedAtRaw}} {{.Tag}}", "--filter", f"reference={name}")
    tags = [line.split()[-1] for line in sorted(listed.splitlines(), reverse=True)]
    for tag in tags[number:]:
        run("rmi", f"{name}:{tag}")
    return tags[:number]


def _storage() -> Path:
    return paths.images() / "buildah"


def _temporary() -> Path:
    folder = _storage() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
