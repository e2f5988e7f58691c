"""The CRD on a real API server: what it accepts, what it refuses and with which words, what it fills in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dev import reference
from tests.support import kube, specs

pytestmark = pytest.mark.cluster

CRD = yaml.safe_load((Path(__file__).parents[2] / "crds/inferenceclusters.yaml").read_text())
CRD_NAME = CRD["metadata"]["name"]
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]

RULES = yaml.safe_load((Path(__file__).parent / "crd_rules.yaml").read_text())

NAMES = [
    # accepted, refused
    ("a" * 40, "a" * 41),
    ("chat-2", "chat.2"),
    ("a1", "1a"),
]

STRANGE: list[tuple[str, kube.Object | None, str]] = [
    # a sentence, a spec, what the user is told
    ("no spec", None, "spec: Required value"),
    ("no model", {}, "spec.model: Required value"),
    ("a model without its uri", {"model": {}}, "spec.model.uri: Required value"),
    ("a draft without its uri", specs.changed("draftModel", {}), "spec.draftModel.uri: Required value"),
    ("a field nobody knows", specs.changed("colour", "blue"), 'unknown field "spec.colour"'),
    (
        "a pod's name in the overlay",
        specs.changed("template.metadata.name", "x"),
        'unknown field "spec.template.metadata.name"',
    ),
    (
        "a uri longer than 512 letters",
        specs.changed("model.uri", "pvc://m/" + "a" * 600),
        "spec.model.uri: Too long: may not be more than 512 bytes",
    ),
    (
        "a container without a name",
        specs.changed("template.spec.containers", [{}]),
        "spec.template.spec.containers[0].name: Required value",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def crd(api: kube.Api, request: pytest.FixtureRequest) -> None:
    """This checkout's CRD: one that is there and the same is judged as it is, else the chart brings it."""

    def versions() -> object:
        found = api.find("CustomResourceDefinition", CRD_NAME, None)
        return found and found["spec"]["versions"]

    if versions() != CRD["spec"]["versions"]:
        request.getfixturevalue("kvring")
    assert versions() == CRD["spec"]["versions"], "the chart's copy of the CRD is old: make manifests"


@pytest.fixture
def stored(api: kube.Api) -> Iterator[str]:
    """A resource in the store, for rules about changes; it asks for no members."""
    api.create(specs.cluster(specs.changed("replicas", 0), "crd-rules"))
    yield "crd-rules"
    api.delete("InferenceCluster", "crd-rules")
    api.wait_gone("InferenceCluster", "crd-rules", within_s=60)


def refusal(api: kube.Api, manifest: kube.Object) -> str:
    with pytest.raises(kube.Refused) as refused:
        api.create(manifest, dry_run=True)
    return refused.value.message


@pytest.mark.parametrize("row", RULES, ids=lambda row: f"{row['field']}-{row['accepts']}")
def test_accepts(api: kube.Api, row: kube.Object) -> None:
    stored = api.create(specs.cluster(specs.changed(row["field"], row["accepts"])), dry_run=True)
    assert stored["spec"]


@pytest.mark.parametrize("row", RULES, ids=lambda row: f"{row['field']}-{row['refuses']}")
def test_refuses_and_says_what_to_do(api: kube.Api, row: kube.Object) -> None:
    assert row["says"] in refusal(api, specs.cluster(specs.changed(row["field"], row["refuses"])))


def test_every_rule_of_the_crd_has_its_refused_example() -> None:
    said = "".join(row["says"] for row in RULES)
    messages = {message for _, message in reference.messages("", SCHEMA["spec"])}
    assert not [message for message in messages if message not in said and "immutable" not in message]


@pytest.mark.parametrize(("spec", "message"), [row[1:] for row in STRANGE], ids=[row[0] for row in STRANGE])
def test_refuses(api: kube.Api, spec: kube.Object | None, message: str) -> None:
    manifest = specs.cluster() | {"spec": spec}
    assert message in refusal(api, {key: value for key, value in manifest.items() if value is not None})


@pytest.mark.parametrize(("accepted", "refused"), NAMES)
def test_names_leave_room_for_what_derives_from_them(api: kube.Api, accepted: str, refused: str) -> None:
    api.create(specs.cluster(name=accepted), dry_run=True)
    message = refusal(api, specs.cluster(name=refused))
    assert "metadata.name must begin with a lower-case letter and hold at most 40" in message


@pytest.mark.parametrize(
    ("path", "same", "other", "why"),
    [
        ("cache.pageTokens", 16, 32, "since every cached page has this size"),
        ("cache.virtualNodes", 256, 128, "since it decides where every entry lies"),
    ],
)
def test_what_cannot_change_says_so(
    api: kube.Api, stored: str, path: str, same: int, other: int, why: str
) -> None:
    def change(value: int) -> None:
        api.patch("InferenceCluster", stored, {"spec": specs.changed(path, value, {})}, dry_run=True)

    change(same)
    with pytest.raises(kube.Refused) as refused:
        change(other)
    assert f"spec.{path}: Invalid value: {other}: is immutable, {why}" in refused.value.message
    assert "make a new InferenceCluster to change it" in refused.value.message


def test_an_immutable_field_may_be_left_out_later(api: kube.Api, stored: str) -> None:
    api.patch("InferenceCluster", stored, {"spec": {"cache": None}}, dry_run=True)


def test_the_scale_subresource_moves_replicas_and_keeps_their_bounds(api: kube.Api, stored: str) -> None:
    scale = {"spec": {"replicas": 2}}
    api.patch("InferenceCluster", stored, scale, subresource="scale", dry_run=True)
    with pytest.raises(kube.Refused, match="less than or equal to 1000"):
        api.patch("InferenceCluster", stored, {"spec": {"replicas": 1001}}, subresource="scale", dry_run=True)


def test_kubectl_explain_has_a_word_for_every_field() -> None:
    fields = [*reference.fields("spec", SCHEMA["spec"]), *reference.fields("status", SCHEMA["status"])]
    assert not [path for path, field in fields if "description" not in field]
