"""Lets pods through the host's firewall while the cluster runs: Docker and ufw have it drop packets."""

import ipaddress
import json
import re
from pathlib import Path

from dev import commands, paths
from dev.cluster import layout
from dev.failure import Failure

# (the chain, iptables' and nft's words for the end of a packet that is meant, whose packets must pass)
NEEDED = (
    ("FORWARD", "-s", "saddr", layout.POD_RANGE),
    ("FORWARD", "-d", "daddr", layout.POD_RANGE),
    ("INPUT", "-s", "saddr", layout.POD_RANGE),
    ("INPUT", "-s", "saddr", layout.MACHINE_RANGE),
)


def open_up() -> None:
    """Adds what is missing of the rules; `restore` takes just these away, however `up` ended."""
    missing = [rule for chain in ("FORWARD", "INPUT") for rule in rules_missing(chain, _listed(chain))]
    if missing:
        unfinished = _record().with_suffix(".new")
        unfinished.write_text(json.dumps(sorted({*map(tuple, _added()), *map(tuple, missing)})))
        unfinished.replace(_record())
    for rule in missing:
        remedy = f"this host's firewall drops what pods send: have it take `{' '.join(rule)}`, then repeat"
        commands.run(["iptables", "--wait", "-I", *rule], remedy=remedy)


def restore() -> None:
    """Takes back what `open_up` did."""
    for rule in _added():
        commands.succeeds(["iptables", "--wait", "-D", *rule])
    _record().unlink(missing_ok=True)


def rules_missing(chain: str, listed: str) -> list[list[str]]:
    """What to tell iptables for one of the host's chains, as nft lists it, if it drops by default."""
    if "policy drop" not in listed:
        return []
    return [
        [chain, option, network, "-j", "ACCEPT"]
        for name, option, end, network in NEEDED
        if name == chain and not _accepts(listed, end, ipaddress.IPv4Network(network))
    ]


def _accepts(listed: str, end: str, network: ipaddress.IPv4Network) -> bool:
    """Whether a rule lets all packets from or to a network pass, or more than these."""
    named = re.findall(rf"^\s*ip {end} ((?:\d+\.){{3}}\d+(?:/\d+)?) (?:counter .*)?accept", listed, re.M)
    return any(network.subnet_of(ipaddress.IPv4Network(text, strict=False)) for text in named)


def _listed(chain: str) -> str:
    try:
        return commands.run(["nft", "list", "chain", "ip", "filter", chain])
    except Failure:
        return ""  # no such chain, so nothing is filtered


def _added() -> list[list[str]]:
    return json.loads(_record().read_text()) if _record().exists() else []


def _record() -> Path:
    return paths.run() / "firewall.json"
