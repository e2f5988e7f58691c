"""Compiles the local cluster's Go parts, once for all clones.

Each part has a go.mod of its own under dev/gomod, since their dependencies disagree. What is built lies in a
folder whose name carries a hash of everything it is made from; a folder appears only when it is complete.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev import alone, compiler, failure, paths, progress, versions

GOMOD = Path(__file__).resolve().parent / "gomod"
SHOWN_LINES = 20
KEPT_S = 14 * 24 * 3600.0


@dataclass(frozen=True)
class Part:
    """One Go module of ours and the programs built from it: pairs of a program's name and its package."""

    name: str
    programs: tuple[tuple[str, str], ...]
    stamps: tuple[str, ...] = ()  # variables that the linker sets
    module: str = ""  # the public one that holds the packages, and its version
    version: str = ""

    @property
    def folder(self) -> Path:
        """Where its go.mod lies."""
        return GOMOD / self.name

    @property
    def is_ours(self) -> bool:
        """Whether its program's `main.go` lies in the folder."""
        return any(package == "." for _, package in self.programs)

    def flags(self) -> list[str]:
        """Flags of `go build`."""
        stamps = " ".join(f"-X {stamp}" for stamp in self.stamps)
        return ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {stamps}".strip()]


def _kubernetes() -> Part:
    names = (
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    )
    version = f"v{versions.KUBERNETES}"
    major, minor, _ = versions.KUBERNETES.split(".")
    base, client = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
    # Without these the API server reports v0.0.0 and clients misbehave.
    stamps = tuple(
        f"{package}.{variable}={value}"
        for package in (base, client)
        for variable, value in (("gitVersion", version), ("gitMajor", major), ("gitMinor", minor))
    )
    return Part(
        "kubernetes",
        tuple((name, f"k8s.io/kubernetes/cmd/{name}") for name in names),
        stamps,
        "k8s.io/kubernetes",
        version,
    )


KUBERNETES = _kubernetes()
ETCD = Part(
    "etcd",
    (("etcd", "go.etcd.io/etcd/server/v3"),),
    module="go.etcd.io/etcd/server/v3",
    version=f"v{versions.ETCD}",
)
COREDNS = Part(
    "coredns",
    (("coredns", "."),),  # with the plugins that the Corefile names, and no others
    module="github.com/coredns/coredns",
    version=f"v{versions.COREDNS}",
)
HELM = Part(
    "helm",
    (("helm", "helm.sh/helm/v4/cmd/helm"),),
    stamps=(f"helm.sh/helm/v4/internal/version.version=v{versions.HELM}",),
    module="helm.sh/helm/v4",
    version=f"v{versions.HELM}",
)
PAUSE = Part("pause", (("pause", "."),))
PROBE = Part("probe", (("probe", "."),))  # what tests run in pods; not among PARTS, tests build it
PARTS = (PAUSE, ETCD, KUBERNETES, COREDNS, HELM)
FOR_PEOPLE = ((KUBERNETES, "kubectl"), (HELM, "helm"))


def key(part: Part) -> str:
    """Hash of all that the programs are made from: our module's files, packages, flags."""
    return fingerprint(part, {file.name: file.read_bytes() for file in part.folder.iterdir()})


def fingerprint(part: Part, files: Mapping[str, bytes]) -> str:
    """The same for files that are handed in: changes with any of it, and with nothing else."""
    return paths.digest(repr((part.programs, part.flags(), sorted(files.items()))).encode())


def program(part: Part, name: str) -> Path:
    """Where a part's program lies once it is built."""
    return paths.built(part.name, key(part)) / name


def build(part: Part) -> Path:
    """Builds a part unless it is there already; returns the folder of its programs."""
    target = paths.built(part.name, key(part))
    if target.is_dir():
        os.utime(target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with alone.holding(target.with_suffix(".lock")), progress.step(f"compile {part.name}") as step:
        if target.is_dir():
            step.note("another clone just did")
            return target
        unfinished = Path(tempfile.mkdtemp(prefix=f".{part.name}-", dir=target.parent))
        try:
            _compile(part, unfinished, step)
            unfinished.chmod(0o755)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


def link_for_people() -> None:
    """Points the stable links in `bin/` at the programs of this checkout's versions."""
    paths.binaries().mkdir(parents=True, exist_ok=True)
    for part, name in FOR_PEOPLE:
        link, fresh = paths.binaries() / name, paths.binaries() / f".{name}-{os.getpid()}"
        fresh.symlink_to(program(part, name))
        fresh.replace(link)


def everything() -> int:
    """Builds all parts, links the tools for people, removes what no clone asked for in a long time; 0."""
    for part in PARTS:
        build(part)
        forget_unused(part, time.time())
    link_for_people()
    return 0


def forget_unused(part: Part, now: float) -> None:
    """Removes builds of a part that nobody asked for since `KEPT_S` before `now`."""
    for folder in paths.built(part.name, key(part)).parent.glob(f"{part.name}-????????????"):
        if folder.stat().st_mtime < now - KEPT_S:
            shutil.rmtree(folder)
            folder.with_suffix(".lock").unlink(missing_ok=True)


def _compile(part: Part, target: Path, step: progress.Step) -> None:
    go = compiler.find()
    env = compiler.caches(go) | os.environ | {"CGO_ENABLED": "0"}
    for program_name, package in part.programs:
        command = [str(go), "build", "-v", *part.flags(), "-o", str(target / program_name), package]
        _follow(command, part.folder, env, step)


def _follow(command: list[str], cwd: Path, env: dict[str, str], step: progress.Step) -> None:
    """Runs the compiler; notes each package as it names it; shows the end of its output if it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        try:
            for line in running.stdout:
                lines.append(line.rstrip())
                step.note(f"{len(lines)} packages, {line.strip()}"[:80])
        except BaseException:
            running.kill()  # an interrupted build must not go on writing where another may start
            raise
    step.note("")
    if running.returncode != 0:
        said = "\n".join(lines[-SHOWN_LINES:])
        raise failure.Failure(
            f"`go build {command[-1]}` failed:\n{said}",
            "it needs a Go module proxy (`go env GOPROXY`), 10 GB of disk, 3 GB of memory; then repeat",
        )


if __name__ == "__main__":
    sys.exit(failure.exit_code(everything))
