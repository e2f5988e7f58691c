"""The images of the operator and of the node: what they are made from, their tags, where they are pushed.

`python -m dev.images build [operator|node|all]` prints the references pushed. A tag is a hash of everything
the image is made from, so an unchanged tree builds and pushes nothing.

Without IMAGES, buildah builds them and the local cluster's registry keeps them. With IMAGES=registry/prefix
the user's own docker, podman or buildah builds the same Dockerfiles and pushes there; BASE is another base.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev import alone, baseimage, buildah, commands, failure, paths, preflight, progress, registry
from dev.cluster import control_plane, layout
from dev.preflight import Program

PROGRAMS = (Program("buildah", "buildah"), Program("debootstrap", "debootstrap"))
ENGINES = ("docker", "podman", "buildah")
KEPT_BUILDS = 3  # of each image, in buildah's storage and in the local registry
PUSH_S = 1800
UV_CACHE = "/tmp/uv-cache"  # in the build's container, as the Dockerfiles say


@dataclass(frozen=True)
class Image:
    """One of our images, made from files of the repository at `root`."""

    name: str
    root: Path = paths.REPOSITORY

    @property
    def repository(self) -> str:
        """Its path in a registry, below the user's prefix."""
        return f"kvring/{self.name}"

    @property
    def dockerfile(self) -> Path:
        """What it is built by."""
        return self.root / self.name / "Dockerfile"

    @property
    def lock(self) -> Path:
        """Its dependencies."""
        return self.root / self.name / "requirements.lock"

    def sources(self) -> list[Path]:
        """The files that are copied into it, in a fixed order."""
        folders = (self.root / "contract/src", self.root / self.name / "src")
        files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
        return sorted(file for file in files if not {"__pycache__", "built"} & set(file.parts))


OPERATOR = Image("operator")
NODE = Image("node")
BY_NAME = {image.name: image for image in (OPERATOR, NODE)}


@dataclass(frozen=True)
class Reference:
    """Where an image is: `repository:tag`, the repository with its registry."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def tag(image: Image, base: str) -> str:
    """Hash of the base's name, the Dockerfile, the lock and the sources; never readable as a number."""
    made_from = hashlib.sha256(base.encode())
    for file in (image.dockerfile, image.lock, *image.sources()):
        made_from.update(f"{file.relative_to(image.root)}\0".encode() + file.read_bytes() + b"\0")
    return f"src-{made_from.hexdigest()[:12]}"


def dependencies_tag(image: Image, base: str) -> str:
    """Hash of the base's name, the Dockerfile's first stage and the lock."""
    stage, _, _ = image.dockerfile.read_bytes().partition(b"\nFROM deps\n")
    return f"lock-{hashlib.sha256(base.encode() + stage + image.lock.read_bytes()).hexdigest()[:12]}"


def build(image: Image, env: Mapping[str, str]) -> Reference:
    """Makes sure that the image of this tree is in the registry; returns where."""
    if prefix := env.get("IMAGES"):
        return _build_with_engine(image, prefix.rstrip("/"), env)
    return _build_here(image, env)


def _build_here(image: Image, env: Mapping[str, str]) -> Reference:
    reference = Reference(f"{layout.REGISTRY}/{image.repository}", tag(image, baseimage.name()))
    if registry.holds(layout.REGISTRY, image.repository, reference.tag):
        return reference
    preflight.install(PROGRAMS)
    with alone.holding(paths.images() / "build.lock"):
        buildah.forget_interrupted()
        base = baseimage.ensure()
        local = f"localhost/{image.repository}:{reference.tag}"
        dependencies = f"localhost/{image.repository}-deps:{dependencies_tag(image, base)}"
        options = _options(base, env)
        if not buildah.has(dependencies):
            with progress.step(f"image {image.name}: dependencies"):
                buildah.build(image.dockerfile, image.root, dependencies, "--target=deps", *options)
        with progress.step(f"image {image.name}: code"):
            buildah.build(image.dockerfile, image.root, local, *options)
        with progress.step(f"image {image.name}: push {reference}"):
            buildah.push(local, str(reference))
        kept = buildah.keep_newest(f"localhost/{image.repository}", KEPT_BUILDS)
        buildah.keep_newest(f"localhost/{image.repository}-deps", 1)
        if registry.keep_only(layout.REGISTRY, image.repository, kept):
            control_plane.sweep_registry()
    return reference


def _options(base: str, env: Mapping[str, str]) -> list[str]:
    """Lends the build this host's certificates and its uv cache, which `make venv` has filled already."""
    cache = paths.home() / "uv"
    cache.mkdir(parents=True, exist_ok=True)
    uv = ["--build-arg=UV_NO_CACHE=0", f"--volume={cache}:{UV_CACHE}"]
    return [f"--build-arg=BASE={base}", *uv, *_certificates(env)]


def _certificates(env: Mapping[str, str]) -> list[str]:
    """Where this host trusts an authority of its own, so does the build."""
    if not (authority := env.get("SSL_CERT_FILE")):
        return []
    folder = Path(authority).parent
    return [f"--build-arg=SSL_CERT_FILE={authority}", f"--volume={folder}:{folder}:ro"]


def _build_with_engine(image: Image, prefix: str, env: Mapping[str, str]) -> Reference:
    # A docker without its daemon is of no use.
    engine = next((name for name in ENGINES if commands.succeeds([name, "info"])), None)
    if engine is None:
        raise failure.Failure(
            f"IMAGES={prefix} is set, but none of {', '.join(ENGINES)} works here",
            "install one of them, or start its daemon; then log in to the registry with it",
        )
    base = env.get("BASE", "")
    reference = Reference(f"{prefix}/{image.name}", tag(image, base))
    options = [f"--build-arg=BASE={base}"] if base else []
    if engine != "docker":  # which keeps layers anyway, and lends a build no folder
        options += ["--layers", *_certificates(env)]
    with progress.step(f"image {image.name}: build with {engine}"):
        commands.run(
            [engine, "build", *options, f"--file={image.dockerfile}", f"--tag={reference}", image.root],
            timeout_s=buildah.BUILD_S,
            remedy="BASE=registry/image:tag names another base image with Python 3.11 and pip",
        )
    with progress.step(f"image {image.name}: push {reference}"):
        commands.run([engine, "push", str(reference)], timeout_s=PUSH_S, remedy=f"log in: {engine} login")
    return reference


def main(arguments: list[str]) -> int:
    """Builds and pushes; prints the references on the last lines."""
    parser = argparse.ArgumentParser(prog="python -m dev.images", description=__doc__)
    parser.add_argument("command", choices=["build"])
    parser.add_argument("image", nargs="?", choices=[*BY_NAME, "all"], default="all")
    options = parser.parse_args(arguments)
    wanted = BY_NAME.values() if options.image == "all" else [BY_NAME[options.image]]
    print(*[build(image, os.environ) for image in wanted], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(failure.exit_code(lambda: main(sys.argv[1:])))
