import hashlib
import io
import json
import tarfile
from pathlib import Path

from dev.cluster import containers, layout, objects, storage


def test_a_volume_and_its_claim_name_each_other_and_nobody_else() -> None:
    volume, claim = storage.host_volume("models", Path("/srv/models"), "team")
    assert volume["spec"]["claimRef"] == {"namespace": "team", "name": "models"}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    for shared in ("accessModes", "storageClassName"):
        assert volume["spec"][shared] == claim["spec"][shared]
    assert volume["spec"]["hostPath"] == {"path": "/srv/models", "type": "Directory"}


def test_claims_of_the_same_name_in_two_namespaces_have_volumes_of_their_own() -> None:
    names = {storage.host_volume("models", Path("/m"), room)[0]["metadata"]["name"] for room in ("a", "b")}
    assert len(names) == 2


def test_dns_service_and_its_endpoints_agree() -> None:
    service, endpoints, *_ = objects.all_objects()
    assert service["spec"]["clusterIP"] == layout.DNS_SERVICE
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    targets = {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}
    assert targets == {port["name"]: port["port"] for port in endpoints["ports"]}


def test_an_image_archive_holds_the_program_under_the_digest_it_claims() -> None:
    archive = unpack(containers.image_archive("pause", b"ELF", "localhost/pause:1"))
    (manifest,) = json.loads(archive["manifest.json"])
    layer = archive[manifest["Layers"][0]]
    config = json.loads(archive[manifest["Config"]])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert manifest["RepoTags"] == ["localhost/pause:1"]
    assert unpack(layer) == {"pause": b"ELF"}


def unpack(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        opened = {name: archive.extractfile(name) for name in archive.getnames()}
        return {name: file.read() for name, file in opened.items() if file is not None}
