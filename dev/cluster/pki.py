"""Certificates and kubeconfigs of the local cluster, made once per run of it."""

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from dev import paths
from dev.cluster.layout import ADDRESS, API_SERVICE, API_URL, DOMAIN, Machine

LIFETIME = datetime.timedelta(days=3650)
CLOCK_SKEW = datetime.timedelta(hours=1)
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Certificate:
    """What a certificate says: who, in which groups, for what, at which addresses."""

    name: str  # of its files
    common_name: str
    usages: tuple[x509.ObjectIdentifier, ...]
    authority: str = "ca"
    organizations: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


AUTHORITIES = ("ca", "front-proxy-ca", "etcd-ca")
API_ADDRESSES = (
    "kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}",
    "localhost", ADDRESS, API_SERVICE,
)  # fmt: skip
CONTROL_PLANE = (
    Certificate("etcd-server", "etcd", (SERVER, CLIENT), "etcd-ca", addresses=(ADDRESS,)),
    Certificate("etcd-client", "kube-apiserver", (CLIENT,), "etcd-ca"),
    Certificate("apiserver", "kube-apiserver", (SERVER,), addresses=API_ADDRESSES),
    Certificate("apiserver-kubelet", "kube-apiserver", (CLIENT,), organizations=("system:masters",)),
    Certificate("front-proxy", "front-proxy-client", (CLIENT,), "front-proxy-ca"),
)
USERS = (
    Certificate("admin", "admin", (CLIENT,), organizations=("system:masters",)),
    Certificate("controller-manager", "system:kube-controller-manager", (CLIENT,)),
    Certificate("scheduler", "system:kube-scheduler", (CLIENT,)),
    Certificate("kube-proxy", "system:kube-proxy", (CLIENT,)),
    Certificate("coredns", "system:coredns", (CLIENT,)),
)


def folder() -> Path:
    """Where keys, certificates and kubeconfigs lie."""
    return paths.run() / "pki"


def certificate(name: str) -> Path:
    """Path of a certificate."""
    return folder() / f"{name}.crt"


def key(name: str) -> Path:
    """Path of a private key."""
    return folder() / f"{name}.key"


def kubeconfig(user: str) -> Path:
    """Path of a user's kubeconfig."""
    return paths.kubeconfig() if user == "admin" else folder() / f"{user}.kubeconfig"


def make_control_plane(now: datetime.datetime) -> None:
    """Makes what the control plane needs, unless it is there."""
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in AUTHORITIES:
        _make_authority(authority, now)
    for wanted in (*CONTROL_PLANE, *USERS):
        _make(wanted, now)
    for user in USERS:
        _make_kubeconfig(user.name)
    _make_service_account_key()


def make_machine(machine: Machine, now: datetime.datetime) -> None:
    """Makes a machine's serving certificate and the kubeconfig of its kubelet, unless they are there."""
    user, group = f"system:node:{machine.name}", ("system:nodes",)
    addresses = (machine.name, machine.address)
    _make(
        Certificate(f"{machine.name}-server", user, (SERVER,), organizations=group, addresses=addresses), now
    )
    _make(Certificate(machine.name, user, (CLIENT,), organizations=group), now)
    _make_kubeconfig(machine.name)


def _make_authority(name: str, now: datetime.datetime) -> None:
    if certificate(name).exists():
        return
    private = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kvring {name}")])
    draft = _draft(subject, subject, private, now)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    _write_pair(name, private, draft.add_extension(usage, critical=True).sign(private, hashes.SHA256()))


def _make(wanted: Certificate, now: datetime.datetime) -> None:
    if certificate(wanted.name).exists():
        return
    signer = serialization.load_pem_private_key(key(wanted.authority).read_bytes(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(certificate(wanted.authority).read_bytes()).subject
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in wanted.organizations]
        + [x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name)]
    )
    draft = _draft(subject, issuer, private, now)
    draft = draft.add_extension(x509.ExtendedKeyUsage(wanted.usages), critical=False)
    if wanted.addresses:
        draft = draft.add_extension(x509.SubjectAlternativeName(_names(wanted.addresses)), critical=False)
    _write_pair(wanted.name, private, draft.sign(signer, hashes.SHA256()))


def _draft(
    subject: x509.Name, issuer: x509.Name, private: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _names(addresses: Sequence[str]) -> list[x509.GeneralName]:
    def name(address: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(address))
        except ValueError:
            return x509.DNSName(address)

    return [name(address) for address in addresses]


def _make_service_account_key() -> None:
    """Signs the tokens of service accounts."""
    if (folder() / "service-accounts.pub").exists():
        return
    private = ec.generate_private_key(ec.SECP256R1())
    _write_key(key("service-accounts"), private)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write(folder() / "service-accounts.pub", public)


def _make_kubeconfig(user: str) -> None:
    if kubeconfig(user).exists():
        return

    def inline(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    cluster = {"server": API_URL, "certificate-authority-data": inline(certificate("ca"))}
    credentials = {
        "client-certificate-data": inline(certificate(user)),
        "client-key-data": inline(key(user)),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kvring-local", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "kvring-local", "context": {"cluster": "kvring-local", "user": user}}],
        "current-context": "kvring-local",
    }
    _write(kubeconfig(user), json.dumps(config, indent=2).encode())


def _write_pair(name: str, private: ec.EllipticCurvePrivateKey, signed: x509.Certificate) -> None:
    # The key first: whoever finds the certificate finds its key as well, also after an interruption.
    _write_key(key(name), private)
    _write(certificate(name), signed.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, private: ec.EllipticCurvePrivateKey) -> None:
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, pem)


def _write(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read, all of it or nothing."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.replace(path)
