"""Who wrote what, from the API server's audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dev import paths

OPERATOR = "system:serviceaccount:kvring-system:"


@dataclass(frozen=True)
class Write:
    """A request that changes something, carried out or refused; `pod` is empty for people."""

    at: datetime
    user: str
    pod: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    def __str__(self) -> str:
        what = f"{self.verb} {self.resource} {self.namespace}/{self.name} -> {self.code}"
        return f"{self.at:%H:%M:%S.%f} {self.user} {what}"


def writes(user: str, since: datetime) -> list[Write]:
    """Writes by users whose name begins with `user`, in order; renewed Leases are no writes in this sense."""
    found = [
        write
        for line in lines(user)
        if (write := _parse(line)).user.startswith(user) and write.at >= since and write.resource != "leases"
    ]
    return sorted(found, key=lambda write: write.at)


def lines(containing: str) -> Iterator[str]:
    """Whole lines that hold this text, rotated ones too."""
    for path in _files():
        with path.open() as log:
            yield from (line for line in log if containing in line and line.endswith("\n"))


def _files() -> list[Path]:
    """The log and what was rotated away."""
    return sorted(paths.audit_log().parent.glob("*.log"))


def _parse(line: str) -> Write:
    entry = json.loads(line)
    about = entry.get("objectRef", {})
    subresource = f"/{about['subresource']}" if about.get("subresource") else ""
    return Write(
        at=datetime.fromisoformat(entry["requestReceivedTimestamp"]),
        user=entry["user"]["username"],
        pod=entry["user"].get("extra", {}).get("authentication.kubernetes.io/pod-name", [""])[0],
        verb=entry["verb"],
        resource=f"{about.get('resource', entry['requestURI'])}{subresource}",
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
    )
