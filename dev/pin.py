"""Rewrites dev/gomod/*/go.mod for the versions in dev/versions.py: `python -m dev.pin`."""

import json
import re
from pathlib import Path

from dev import build, commands, compiler, progress, versions
from dev.build import Part

STAGING = re.compile(r"^\t(k8s\.io/\S+) => \./staging/", re.MULTILINE)
PINNED = tuple(part for part in build.PARTS if part.module)


def pin(part: Part) -> None:
    """Writes the go.mod and go.sum of one part anew."""
    go = ".".join(str(number) for number in versions.GO)
    lines = [f"module kvring.dev/dev/{part.name}", "", f"go {go}.0", ""]
    if part is build.KUBERNETES:
        lines += [f"godebug default=go{go}", "", *_replacements(part)]
    (part.folder / "go.mod").write_text("\n".join(lines))
    (part.folder / "go.sum").unlink(missing_ok=True)
    for words in _ours(part) if part.is_ours else _theirs(part):
        commands.run([compiler.find(), *words], cwd=part.folder, timeout_s=900)


def _theirs(part: Part) -> list[list[str]]:
    """Programs of the public module."""
    return [["get", "-tool", *(f"{package}@{part.version}" for _, package in part.programs)]]


def _ours(part: Part) -> list[list[str]]:
    """A program of our folder that is made from packages of the public module."""
    return [["get", f"{part.module}@{part.version}"], ["mod", "tidy"]]


def _replacements(part: Part) -> list[str]:
    """Kubernetes finds these modules in its own repository; they are published as v0.minor.patch."""
    answer = commands.run(
        [compiler.find(), "mod", "download", "-json", f"{part.module}@{part.version}"], timeout_s=900
    )
    published = re.sub(r"^v1\.", "v0.", part.version)
    modules = STAGING.findall(Path(json.loads(answer)["GoMod"]).read_text())
    return ["replace (", *(f"\t{module} => {module} {published}" for module in modules), ")", ""]


if __name__ == "__main__":
    for pinned in PINNED:
        with progress.step(f"pin {pinned.name} {pinned.version}"):
            pin(pinned)
