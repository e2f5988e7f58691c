"""What a machine's containerd holds and leaves: the pause image, containers of an earlier life, shims."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dev import build, commands, registry
from dev.cluster import layout, machine_parts, processes
from dev.cluster.layout import Machine

NAMESPACE = "k8s.io"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's names and Go's
SHIM = "containerd-shim-runc-v2"
GONE_S = 10.0


def give_pause_image(machine: Machine) -> None:
    """Imports the image of the container that holds a pod's namespaces, unless containerd has it.

    The registry gets it, too, for the kubelet that removes it: short of disk, or since it looks unused.
    """
    image = machine_parts.PAUSE_IMAGE
    if image not in _ctr(machine, "images", "list", "--quiet").split():
        give_image(machine, build.program(build.PAUSE, "pause"), image)
    repository, _, tag = image.removeprefix(f"{layout.REGISTRY}/").partition(":")
    if not registry.holds(layout.REGISTRY, repository, tag):
        _ctr(machine, "images", "push", "--plain-http", image)


def give_image(machine: Machine, program: Path, reference: str) -> None:
    """Imports an image that holds and runs one static program."""
    archive = machine.folder / f"{program.name}.tar"
    archive.write_bytes(image_archive(program.name, program.read_bytes(), reference))
    _ctr(machine, "images", "import", str(archive))
    archive.unlink()


def image_archive(name: str, program: bytes, reference: str) -> bytes:
    """A docker-archive of one layer with the program `/name`, which runs as nobody."""
    layer = _tar({name: program})
    diff = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": [f"/{name}"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": [f"{diff}/layer.tar"]}]
    return _tar(
        {"manifest.json": json.dumps(manifest).encode(), config_name: config, f"{diff}/layer.tar": layer}
    )


def forget(machine: Machine) -> bool:
    """Removes all containers that containerd knows, running or not; whether there were any."""
    tasks = _ctr(machine, "tasks", "list", "--quiet").split()
    for task in tasks:
        commands.succeeds([*_prefix(machine), "tasks", "delete", "--force", task])
    containers = _ctr(machine, "containers", "list", "--quiet").split()
    if containers:
        commands.succeeds([*_prefix(machine), "containers", "delete", *containers])
    return bool(containers)


def end_shims(machine: Machine) -> None:
    """Kills the shims that were started for this machine's containerd; they outlive it on purpose."""
    processes.kill_until_none(lambda: _shims(machine), f"container shims of {machine.name}", GONE_S)


def _shims(machine: Machine) -> Iterator[int]:
    """Shims carry the socket of their containerd in their command line."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            executable = (process / "exe").readlink().name
        except OSError:
            continue  # it ended, or is a thread of the kernel
        if executable == SHIM and str(machine.containerd_socket) in words:
            yield int(process.name)


def _ctr(machine: Machine, *words: str) -> str:
    return commands.run([*_prefix(machine), *words])


def _prefix(machine: Machine) -> tuple[str, ...]:
    return ("ctr", "--address", str(machine.containerd_socket), "--namespace", NAMESPACE)


def _tar(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()
