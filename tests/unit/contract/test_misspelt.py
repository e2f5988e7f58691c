"""Fields that nobody reads are named, and none that somebody does."""

from typing import Any

import pytest
import yaml
from dev import reference
from tests.support import specs

from kvring_contract import misspelt

VERSION = yaml.safe_load(reference.CRD.read_text())["spec"]["versions"][0]
LEAVES = [
    path
    for path, field in reference.fields("spec", VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"])
    if "properties" not in field and not path.startswith("spec.template.")
]


def unknown(spec: dict[str, Any]) -> tuple[str, ...]:
    return misspelt.fields(specs.cluster(spec))


def test_every_field_is_known() -> None:
    assert unknown(specs.EVERY_FIELD) == ()


@pytest.mark.parametrize("path", LEAVES)
def test_a_field_without_its_last_letter_is_unknown_and_the_right_one_is_told(path: str) -> None:
    wrong = path[:-1]
    spec = specs.changed(wrong.removeprefix("spec."), 1, specs.EVERY_FIELD)

    assert unknown(spec) == (f"{wrong}: unknown field; did you mean {path}?",)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nodeSelector", "spec.nodeSelector: unknown field"),
        ("template.nodeSelector", "spec.template.nodeSelector: unknown field"),
        ("template.metadata.label", "spec.template.metadata.label: unknown field"),
        ("cache.Size", "spec.cache.Size: unknown field; did you mean spec.cache.size?"),
    ],
)
def test_what_belongs_elsewhere_is_unknown(path: str, said: str) -> None:
    assert any(line.startswith(said) for line in unknown(specs.changed(path, {}, specs.EVERY_FIELD)))


def test_the_overlay_and_amounts_take_any_name() -> None:
    spec = specs.changed("template.spec", {"of": [{"the": {"cluster": 1}}]}, specs.EVERY_FIELD)

    assert unknown(specs.changed("resources.limits", {"example.com/odd": 1}, spec)) == ()


def test_fields_beside_the_spec_are_looked_at_and_those_of_others_are_not() -> None:
    body = specs.cluster() | {"specs": {}, "status": {"any": 1}}

    assert misspelt.fields({**body, "metadata": {**body["metadata"], "any": 1}}) == (
        "specs: unknown field; did you mean spec?",
    )
