"""The CRD is the source of truth; `kvring_contract.api` reads just that, field for field."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from dev import reference
from tests.support import specs

from kvring_contract import api, names, status

CRD = yaml.safe_load(reference.CRD.read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]
FIELDS = {path.removeprefix("spec."): field for path, field in reference.fields("spec", SCHEMA["spec"])}
FULL_STATUS = status.Status(
    observed_generation=4,
    replicas=3,
    wanted_replicas=4,
    ready_replicas=2,
    replication_factor=2,
    selector="kvring.dev/cluster=chat",
    served_name="chat",
    url="http://chat.default.svc:8000",
    ring=status.Ring(epoch=17, checksum="9f2c", members=3, migrating=1),
    cache=status.Cache(hit_rate=0.714, used_bytes=3 * 2**20, target_bytes=2**30),
    members=(status.Member("chat-0", names.MemberState.ACTIVE, "chat-0-1", "vm", 5, 6),),
    conditions=(
        status.Condition(names.Condition.READY, "True", "Serving", "all", 4, "2026-01-01T00:00:00Z"),
    ),
)


def parsed(spec: dict[str, Any]) -> Any:
    return api.parse(specs.cluster(spec)).spec


def defaults(schema: dict[str, Any], value: Any) -> Any:
    """What the API server fills in."""
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    filled = dict(value)
    for name, field in schema["properties"].items():
        if name not in filled and "default" in field:
            filled[name] = field["default"]
        if name in filled:
            filled[name] = defaults(field, filled[name])
    return filled


def value_at(spec: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        spec = spec[name]
    return spec


LEAVES = [
    path for path, field in FIELDS.items() if "properties" not in field and not path.startswith("template.")
]
BOUNDED = [(path, field["minimum"], field["maximum"]) for path, field in FIELDS.items() if "minimum" in field]
ENUMS = [(path, field["enum"]) for path, field in FIELDS.items() if "enum" in field]
"""Below `template` nothing is read: the overlay goes to the pod as it was written."""


def test_group_version_and_names_are_the_contracts() -> None:
    spec = CRD["spec"]
    assert f"{spec['group']}/{VERSION['name']}" == names.API_VERSION
    assert (spec["names"]["kind"], spec["names"]["plural"]) == (names.KIND, names.PLURAL)


def test_the_defaults_of_both_are_the_same() -> None:
    assert parsed(defaults(SCHEMA["spec"], specs.MINIMAL)) == parsed(specs.MINIMAL)


@pytest.mark.parametrize("path", LEAVES)
def test_every_field_of_the_crd_reaches_the_parsed_spec(path: str) -> None:
    full = value_at(specs.EVERY_FIELD, path)
    assert full != FIELDS[path].get("default"), "the example must differ from the default"
    assert parsed(specs.changed(path, full, roomy(path))) != parsed(roomy(path))


def roomy(path: str) -> dict[str, Any]:
    """A spec in which the one field may change alone: a draft needs its uri, sizes need room."""
    if path.startswith("draftModel"):
        return specs.MINIMAL
    return specs.changed("cache.size", {"min": "1Mi", "initial": "512Mi", "max": "16Gi"})


@pytest.mark.parametrize(("path", "low", "high"), BOUNDED)
def test_bounds_are_the_same(path: str, low: int, high: int) -> None:
    room = specs.changed("rollout", {"maxSurge": 1, "maxUnavailable": 1})
    for allowed in (low, high):
        parsed(specs.changed(path, allowed, room))
    for refused in (low - 1, high + 1):
        with pytest.raises(api.ParseError, match=f"from {low} to {high}"):
            parsed(specs.changed(path, refused, room))


@pytest.mark.parametrize(("path", "values"), ENUMS)
def test_choices_are_the_same(path: str, values: list[Any]) -> None:
    for allowed in values:
        parsed(specs.changed(path, allowed))
    with pytest.raises(api.ParseError, match=", ".join(map(str, values))):
        parsed(specs.changed(path, "Other" if isinstance(values[0], str) else 7))


def test_no_choice_is_a_word_that_yaml_reads_as_something_else() -> None:
    for path, values in ENUMS:
        assert [yaml.safe_load(str(value)) for value in values] == values, path


def test_what_is_pending_says_so_in_its_description() -> None:
    pending = api.pending_features(parsed(specs.EVERY_FIELD))
    marked = [
        path for path, field in FIELDS.items() if "pending in this release" in field["description"].lower()
    ]
    assert sorted(pending) == sorted(f"spec.{path}" for path in marked)


def test_what_the_operator_reports_fits_the_schema_of_status() -> None:
    assert not list(misfits("status", SCHEMA["status"], status.render(FULL_STATUS)))


def test_every_column_that_this_release_fills_finds_its_value() -> None:
    reported = {"status": status.render(FULL_STATUS)}
    later = {".status.replication.underReplicated"}
    paths = [column["jsonPath"] for column in VERSION["additionalPrinterColumns"]]
    for path in paths:
        if path.startswith(".status") and "[" not in path and path not in later:
            assert value_at(reported, path.removeprefix(".")) is not None


def misfits(path: str, schema: dict[str, Any], value: Any) -> Iterator[str]:
    """Fields that the schema lacks, would prune, or gives another type."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        yield f"{path}: {value!r} is no {schema['type']}"
    elif isinstance(value, dict):
        yield from (f"{path}.{name} is unknown" for name in value.keys() - schema["properties"].keys())
        for name in value.keys() & schema["properties"].keys():
            yield from misfits(f"{path}.{name}", schema["properties"][name], value[name])
    elif isinstance(value, list):
        for entry in value:
            yield from misfits(f"{path}[]", schema["items"], entry)
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"


def test_durations_reach_a_whole_day() -> None:
    assert parsed(specs.changed("drain.timeout", "24h")).drain.timeout_s == timedelta(days=1).total_seconds()
