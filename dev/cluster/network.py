"""Links, addresses, routes, kernel settings: what the cluster changes on the host and how it is undone."""

import json
from pathlib import Path

from dev import commands, paths
from dev.cluster import firewall, mounts
from dev.cluster.layout import ADDRESS, Machine

# Those that the cluster itself or its kubelets and kube-proxies change.
KERNEL_SETTINGS = (
    "net/ipv4/ip_forward", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes", "vm/overcommit_memory", "vm/panic_on_oom",
)  # fmt: skip
PROXY_TABLES = ("ip", "ip6")


def prepare_host() -> None:
    """Gives the host its machine address and lets it forward; remembers what it changes as it was."""
    saved = _saved()
    if not saved.exists():
        values = {
            name: _setting(name).read_text().strip() for name in KERNEL_SETTINGS if _setting(name).exists()
        }
        unfinished = saved.with_suffix(".new")
        unfinished.write_text(json.dumps(values, indent=2))
        unfinished.replace(saved)
    _setting("net/ipv4/ip_forward").write_text("1")
    firewall.open_up()
    commands.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"])


def restore_host() -> None:
    """Takes back what `prepare_host` and kube-proxy did."""
    if f"{ADDRESS}/32" in commands.run(["ip", "address", "show", "dev", "lo"]):
        commands.run(["ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo"])
    tables = commands.run(["nft", "list", "tables"]).splitlines()
    for family in PROXY_TABLES:
        if f"table {family} kube-proxy" in tables:
            commands.run(["nft", "delete", "table", family, "kube-proxy"])
    firewall.restore()
    if _saved().exists():
        for name, value in json.loads(_saved().read_text()).items():
            _setting(name).write_text(value)
        _saved().unlink()


def connect(machine: Machine) -> None:
    """Gives a machine a network of its own and a link to the host, as far as they are missing."""
    if machine.is_host:
        return
    if machine.namespace not in mounts.beneath(machine.folder):
        machine.namespace.touch()
        commands.run(["unshare", f"--net={machine.namespace}", "true"])
    if not _link(machine):
        _make_link(machine)
    # A link that went down has lost its routes.
    commands.run(["ip", "link", "set", machine.link, "up"])
    commands.run(["ip", "route", "replace", machine.pod_range, "via", machine.address])


def cut(machine: Machine) -> None:
    """Takes the machine's link down: it and its pods run on, but nobody hears them."""
    commands.run(["ip", "link", "set", machine.link, "down"])


def is_cut_on_purpose(machine: Machine) -> bool:
    """Whether the machine has a link and it was taken down."""
    return not machine.is_host and any("UP" not in link["flags"] for link in _link(machine))


def remove(machine: Machine) -> None:
    """Removes the link; the namespace goes with its mount and its last process."""
    if _link(machine):
        commands.run(["ip", "link", "delete", machine.link])


def _make_link(machine: Machine) -> None:
    """Gives it its name last, and leaves it down: one that was interrupted is no link, and made anew."""
    inside, near_end, far_end = machine.enter(), f"{machine.link}n", f"{machine.link}x"
    if _named(near_end):
        commands.run(["ip", "link", "delete", near_end])
    commands.run(["ip", "link", "add", near_end, "type", "veth", "peer", "name", far_end])
    commands.run(["ip", "address", "add", f"{machine.gateway}/24", "dev", near_end])
    commands.run(["ip", "link", "set", far_end, "netns", str(machine.namespace)])
    commands.run([*inside, "ip", "link", "set", "lo", "up"])
    commands.run([*inside, "ip", "link", "set", far_end, "name", "eth0"])
    commands.run([*inside, "ip", "address", "add", f"{machine.address}/24", "dev", "eth0"])
    commands.run([*inside, "ip", "link", "set", "eth0", "up"])
    commands.run([*inside, "ip", "route", "add", "default", "via", machine.gateway])
    commands.run([*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    commands.run(["ip", "link", "set", near_end, "name", machine.link])


def _link(machine: Machine) -> list[dict[str, list[str]]]:
    """The host's end of the link as `ip` describes it, in a list; an empty one if there is none."""
    return _named(machine.link)


def _named(link: str) -> list[dict[str, list[str]]]:
    links = json.loads(commands.run(["ip", "-json", "link", "show"]))
    return [found for found in links if found["ifname"] == link]


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name


def _saved() -> Path:
    """Beside the run's folder's content, since it has to outlive an interrupted `up`."""
    return paths.run() / "kernel-settings.json"
