"""Where the API server is and who we are there: the pod's service account, or the user's kubeconfig."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kubernetes import client, config

from kvring_operator.clock import Clock

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_MAX_AGE_S = 60.0


class NoCluster(Exception):
    """Neither a service account nor a usable kubeconfig."""


@dataclass(frozen=True)
class Login:
    """How to reach the API server. `token` is asked before each request; empty means none is sent."""

    server: str
    token: Callable[[], str] = str
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    insecure: bool = False

    def ssl_context(self) -> ssl.SSLContext | bool:
        """What aiohttp wants; True (its default) for plain HTTP."""
        if not self.server.startswith("https"):
            return True
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def find(clock: Clock, service_account: Path = SERVICE_ACCOUNT) -> Login:
    """The pod's own account when there is one, else the current context; raises `NoCluster`."""
    if (service_account / "token").exists():
        return Login(
            server="https://kubernetes.default.svc",
            token=_fresh_file(service_account / "token", clock),
            ca_file=str(service_account / "ca.crt"),
        )
    return _kubeconfig()


def _fresh_file(path: Path, clock: Clock) -> Callable[[], str]:
    """Content of a file that the kubelet rotates, read again each minute."""
    content, read_at = "", float("-inf")

    def read() -> str:
        nonlocal content, read_at
        if clock.monotonic() - read_at > TOKEN_MAX_AGE_S:
            content, read_at = path.read_text().strip(), clock.monotonic()
        return content

    return read


def _kubeconfig() -> Login:
    found = client.Configuration()
    try:
        config.load_kube_config(client_configuration=found)  # type: ignore[no-untyped-call]  # it has no types
    except config.ConfigException as error:
        raise NoCluster(
            f"{error}: run in a pod, or set KUBECONFIG to a file with a current context"
        ) from error

    def token() -> str:
        header = found.get_api_key_with_prefix("BearerToken") or found.get_api_key_with_prefix(
            "authorization"
        )
        return str(header or "").removeprefix("Bearer ")

    return Login(
        server=found.host.rstrip("/"),
        token=token,
        ca_file=found.ssl_ca_cert,
        certificate_file=found.cert_file,
        key_file=found.key_file,
        insecure=not found.verify_ssl,
    )
