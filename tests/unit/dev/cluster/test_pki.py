import datetime
import ipaddress
import json
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from dev import paths
from dev.cluster import layout, pki
from dev.cluster.layout import Machine

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
MACHINE = Machine(2)


@pytest.fixture
def made(home: Path) -> Path:
    pki.make_control_plane(NOW)
    pki.make_machine(MACHINE, NOW)
    return home


def load(name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pki.certificate(name).read_bytes())


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("wanted", [*pki.CONTROL_PLANE, *pki.USERS], ids=lambda wanted: wanted.name)
def test_a_certificate_is_signed_by_its_own_authority_and_no_other(wanted: pki.Certificate) -> None:
    certificate = load(wanted.name)
    certificate.verify_directly_issued_by(load(wanted.authority))
    for other in set(pki.AUTHORITIES) - {wanted.authority}:
        with pytest.raises(ValueError, match="does not match"):
            certificate.verify_directly_issued_by(load(other))


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("wanted", [*pki.CONTROL_PLANE, *pki.USERS], ids=lambda wanted: wanted.name)
def test_openssl_takes_certificate_and_key_as_a_pair(wanted: pki.Certificate) -> None:
    context = ssl.create_default_context(cafile=pki.certificate(wanted.authority))
    context.load_cert_chain(pki.certificate(wanted.name), pki.key(wanted.name))


@pytest.mark.usefixtures("made")
def test_the_api_server_is_known_under_the_names_and_addresses_pods_use() -> None:
    names = load("apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc.cluster.local" in names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    assert {ipaddress.ip_address(a) for a in (layout.ADDRESS, layout.API_SERVICE)} <= set(addresses)


@pytest.mark.usefixtures("made")
def test_a_kubelet_may_speak_for_its_own_machine_only() -> None:
    subject = load(MACHINE.name).subject.rfc4514_string()
    assert subject == "CN=system:node:m2,O=system:nodes"


@pytest.mark.usefixtures("made")
def test_only_the_owner_reads_keys_and_kubeconfigs() -> None:
    secret = [*pki.folder().glob("*.key"), *pki.folder().glob("*.kubeconfig"), paths.kubeconfig()]
    assert len(secret) > 10
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


@pytest.mark.usefixtures("made")
def test_made_again_nothing_changes() -> None:
    before = {path: path.read_bytes() for path in pki.folder().iterdir()}
    pki.make_control_plane(NOW + datetime.timedelta(days=1))
    pki.make_machine(MACHINE, NOW + datetime.timedelta(days=1))
    assert {path: path.read_bytes() for path in pki.folder().iterdir()} == before


@pytest.mark.usefixtures("made")
def test_what_an_interruption_left_out_is_made_and_fits() -> None:
    pki.certificate("scheduler").unlink()
    pki.make_control_plane(NOW)
    load("scheduler").verify_directly_issued_by(load("ca"))
    ssl.create_default_context().load_cert_chain(pki.certificate("scheduler"), pki.key("scheduler"))


@pytest.mark.usefixtures("made")
def test_the_kubeconfig_is_complete() -> None:
    config = json.loads(paths.kubeconfig().read_text())
    context = next(entry for entry in config["contexts"] if entry["name"] == config["current-context"])[
        "context"
    ]
    assert context["cluster"] in [entry["name"] for entry in config["clusters"]]
    assert context["user"] in [entry["name"] for entry in config["users"]]
    assert config["clusters"][0]["cluster"]["server"] == layout.API_URL
