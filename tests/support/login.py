"""From a kubeconfig to an HTTP client that the API server knows."""

import base64
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml


@contextmanager
def client(kubeconfig: Path) -> Iterator[httpx.Client]:
    """Speak to the current context's cluster as its user, by client certificate or by token."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    with tempfile.TemporaryDirectory() as folder:
        tls = _tls(cluster, user, Path(folder))
    with httpx.Client(
        base_url=cluster["server"], verify=tls, headers=headers, timeout=30, trust_env=False
    ) as http:
        yield http


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _tls(cluster: dict[str, Any], user: dict[str, Any], folder: Path) -> ssl.SSLContext:
    """Python reads client certificates from files only, so they lie in `folder` meanwhile."""
    context = ssl.create_default_context(cafile=_file(cluster, "certificate-authority", folder))
    certificate, key = _file(user, "client-certificate", folder), _file(user, "client-key", folder)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def _file(section: dict[str, Any], name: str, folder: Path) -> str | None:
    if data := section.get(f"{name}-data"):
        path = folder / name
        path.write_bytes(base64.b64decode(data))
        return str(path)
    return section.get(name)
