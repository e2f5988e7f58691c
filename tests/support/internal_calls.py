"""What the operator and members tell each other, asked by a test: the ring, reports, signed calls."""

import base64
import time

from tests.support import pools

from kvring_contract import names, wire
from kvring_contract import ring as rings


def ring_of(pool: pools.Pool) -> rings.Ring:
    """The ring as the operator published it; raises `InvalidRing` when somebody spoiled it."""
    found = pool.api.get("ConfigMap", f"{pool.name}-ring", pool.namespace)
    return rings.loads(found["data"][names.RING_DOCUMENT_KEY])


def report(pool: pools.Pool, pod: str) -> wire.NodeReport:
    """How a member is, in its own words."""
    return _call(pool, pod, "GET", wire.REPORT_PATH)


def push(pool: pools.Pool, pod: str, fencing: int, ring: rings.Ring) -> wire.NodeReport:
    """Tell a member to hold a ring; its report says whether it does."""
    return _call(pool, pod, "PUT", wire.RING_PATH, wire.PushRing(fencing, ring).dumps())


def _call(pool: pools.Pool, pod: str, method: str, path: str, body: str = "") -> wire.NodeReport:
    secret = pool.api.get("Secret", f"{pool.name}-internal", pool.namespace)
    key = base64.b64decode(secret["data"][names.INTERNAL_KEY_FILE])
    signature = wire.sign(key, method, path, body.encode(), time.time())
    answer = pool.api.http.request(
        method,
        f"/api/v1/namespaces/{pool.namespace}/pods/{pod}:{names.NODE_PORT}/proxy{path}",
        content=body or None,
        headers={wire.SIGNATURE_HEADER: signature, "Content-Type": "application/json"},
    )
    return wire.NodeReport.loads(answer.content)
