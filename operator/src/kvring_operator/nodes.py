"""The only code that calls a node over HTTP: signed, fenced, and quick to give up."""

from dataclasses import dataclass

import aiohttp

from kvring_contract import names, wire
from kvring_contract.ring import Ring
from kvring_operator import metrics
from kvring_operator.clock import Clock

TIMEOUT_S = 2.0
MOST_ANSWER_BYTES = 65536
"""A report has some hundred; whatever else answers at a pod's address is not read to its end."""


@dataclass(frozen=True)
class NoAnswer(Exception):
    """A node could not be asked, or answered something that is no report."""

    why: str

    def __str__(self) -> str:
        return self.why


class Nodes:
    """Calls to nodes by their address; every answer is a `NodeReport`, also a refusal (409)."""

    def __init__(self, clock: Clock, port: int = names.NODE_PORT) -> None:
        """One connection pool for all nodes; close it with `close`."""
        self._clock = clock
        self._port = port
        self._session = aiohttp.ClientSession(
            # No common limit: a call that waited for the calls to hung nodes would look hung itself.
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=2, keepalive_timeout=15),
            headers={"User-Agent": names.FIELD_MANAGER},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def report(self, address: str, key: bytes) -> wire.NodeReport:
        """Ask how a node is; raises `NoAnswer`."""
        return await self._call("GET", address, wire.REPORT_PATH, key, "")

    async def push(self, address: str, key: bytes, fencing: int, ring: Ring) -> wire.NodeReport:
        """Give a node the ring; it refuses one of an older leader or epoch, and its report says so."""
        return await self._call("PUT", address, wire.RING_PATH, key, wire.PushRing(fencing, ring).dumps())

    async def drain(self, address: str, key: bytes, fencing: int) -> wire.NodeReport:
        """Tell a node to take no new work."""
        return await self._call("POST", address, wire.DRAIN_PATH, key, wire.Drain(fencing).dumps())

    async def _call(self, method: str, address: str, path: str, key: bytes, text: str) -> wire.NodeReport:
        body = text.encode()
        host = f"[{address}]" if ":" in address else address
        signature = wire.sign(key, method, path, body, self._clock.wall())
        headers = {wire.SIGNATURE_HEADER: signature, "Content-Type": "application/json"}
        try:
            async with self._session.request(
                method,
                f"http://{host}:{self._port}{path}",
                data=body or None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                content = await _read(response.content)
                if response.status not in (200, 409):
                    raise NoAnswer(f"{method} {path} at {address}: {response.status} {content[:200]!r}")
                report = wire.NodeReport.loads(content)
        except (aiohttp.ClientError, TimeoutError, OSError, wire.InvalidMessage, NoAnswer) as error:
            metrics.NODE_CALLS.labels(path, "failed").inc()
            raise NoAnswer(f"{method} {path} at {address}: {error}") from error
        metrics.NODE_CALLS.labels(path, "answered").inc()
        return report


async def _read(content: aiohttp.StreamReader) -> bytes:
    found = b""
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > MOST_ANSWER_BYTES:
            raise NoAnswer(f"the answer is longer than {MOST_ANSWER_BYTES} bytes")
    return found
