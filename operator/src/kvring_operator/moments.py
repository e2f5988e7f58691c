"""RFC 3339, as the API server writes moments, to and from seconds since the Unix epoch.

Pure: no clock here.
"""

from datetime import UTC, datetime


def render(at: float) -> str:
    """`2026-11-21T10:00:00Z`; whole seconds, as `metav1.Time` keeps them."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render_micro(at: float) -> str:
    """`2026-11-21T10:00:00.000000Z`, as `metav1.MicroTime` of Leases and Events."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> float:
    """Seconds since the Unix epoch; raises `ValueError`."""
    return datetime.fromisoformat(text).timestamp()
