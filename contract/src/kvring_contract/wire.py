"""Messages that cross HTTP between operator and node, and how they are signed.

Every internal call carries `Kvring-Signature`: an HMAC-SHA256 with the pool's key over method, path, moment
and body, and a fencing epoch inside the body. A node refuses what is unsigned, old, or fenced off by a newer
leader.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kvring_contract import ring as rings

SIGNATURE_HEADER = "Kvring-Signature"
MAX_SKEW_S = 300
RING_PATH = "/internal/v1/ring"
REPORT_PATH = "/internal/v1/report"
DRAIN_PATH = "/internal/v1/drain"


@dataclass(frozen=True)
class PushRing:
    """Operator to node, PUT: hold this ring. `fencing` is the Lease's transition count of the sender."""

    fencing: int
    ring: rings.Ring

    def dumps(self) -> str:
        """The body of the request."""
        return json.dumps({"fencing": self.fencing, "ring": json.loads(rings.dumps(self.ring))})

    @staticmethod
    def loads(text: str | bytes) -> "PushRing":
        """Parse a body; raises `InvalidMessage`."""
        body = _object(text)
        try:
            return PushRing(int(body["fencing"]), rings.loads(json.dumps(body["ring"])))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidMessage(f"not a ring push: {error!r}") from error


@dataclass(frozen=True)
class Drain:
    """Operator to node, POST: take no new work, finish the old."""

    fencing: int

    def dumps(self) -> str:
        """The body of the request."""
        return json.dumps(asdict(self))

    @staticmethod
    def loads(text: str | bytes) -> "Drain":
        """Parse a body; raises `InvalidMessage`."""
        try:
            return Drain(int(_object(text)["fencing"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidMessage(f"not a drain request: {error!r}") from error


@dataclass(frozen=True)
class NodeReport:
    """Node to operator: the answer to every internal call, accepted (200) or fenced off (409).

    `ring_epoch` is -1 and `ring_checksum` empty until a first ring came. Bytes are of the KV cache; used are
    those in the hands of a request and those kept for later prompts.
    """

    pod: str
    loaded: bool
    draining: bool
    fingerprint: str
    fencing: int
    ring_epoch: int
    ring_checksum: str
    num_running: int
    num_waiting: int
    cache_used_bytes: int
    cache_total_bytes: int
    prefix_queries_tokens: int
    prefix_hits_tokens: int

    def dumps(self) -> str:
        """The body of the response."""
        return json.dumps(asdict(self))

    @staticmethod
    def loads(text: str | bytes) -> "NodeReport":
        """Parse a body; raises `InvalidMessage`. Unknown fields of a newer node are passed over."""
        body = _object(text)
        try:
            report = NodeReport(**{name: _typed(body[name], kind) for name, kind in _REPORT_FIELDS})
        except (KeyError, TypeError) as error:
            raise InvalidMessage(f"not a node report: {error!r}") from error
        if report.ring_epoch > rings.MOST_EPOCH:
            raise InvalidMessage(f"not a node report: no ring has epoch {report.ring_epoch}")
        return report


_REPORT_FIELDS = tuple((name, kind) for name, kind in NodeReport.__annotations__.items())


class InvalidMessage(ValueError):
    """The body is not the message that this path takes."""


class BadSignature(ValueError):
    """The call is unsigned, signed with another key, or too old."""


def sign(key: bytes, method: str, path: str, body: bytes, at: float) -> str:
    """Value of the `Kvring-Signature` header; `at` is seconds since the Unix epoch."""
    moment = str(int(at))
    return f"t={moment},v1={_mac(key, method, path, body, moment)}"


def verify(key: bytes, method: str, path: str, body: bytes, header: str | None, now: float) -> None:
    """Raise `BadSignature` unless `header` signs exactly this call, within `MAX_SKEW_S` of `now`."""
    parts = dict(part.split("=", 1) for part in (header or "").split(",") if "=" in part)
    moment, mac = parts.get("t", ""), parts.get("v1", "")
    if not (moment.isascii() and moment.isdigit() and mac):
        raise BadSignature(f"{SIGNATURE_HEADER} is missing or malformed")
    if not hmac.compare_digest(mac.encode(), _mac(key, method, path, body, moment).encode()):
        raise BadSignature("the signature does not fit; was the pool's Secret replaced?")
    if abs(now - int(moment)) > MAX_SKEW_S:
        raise BadSignature(f"the signature is more than {MAX_SKEW_S} s off this machine's clock")


def _mac(key: bytes, method: str, path: str, body: bytes, moment: str) -> str:
    content = b"\n".join([method.encode(), path.encode(), moment.encode(), hashlib.sha256(body).digest()])
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def _object(text: str | bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidMessage("not a JSON object")
    return body


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value
