"""`python -m dev.reference`: docs/reference; inferencecluster.md from the CRD, others from the code."""

from collections.abc import Collection, Iterator
from typing import Any

import yaml
from dev import generated, http_page, metrics_page, node_page, paths

CRD = paths.REPOSITORY / "crds/inferenceclusters.yaml"
TARGET = paths.REPOSITORY / "docs/reference/inferencecluster.md"
METRICS = paths.REPOSITORY / "docs/reference/metrics.md"
HTTP = paths.REPOSITORY / "docs/reference/http.md"
NODE = paths.REPOSITORY / "docs/reference/node.md"

Schema = dict[str, Any]

HEADER = """\
# InferenceCluster

Made from `crds/inferenceclusters.yaml` by `make manifests`; do not edit. `kubectl explain infc` says it too.
Fields that are "pending in this release" are checked, stored, and named in the condition `FeaturesPending`.
A required field is one that must be there where the object around it is.
"""


def page() -> str:
    """The whole page in Markdown."""
    crd = yaml.safe_load(CRD.read_text())["spec"]
    version = crd["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    names = crd["names"]
    about = (
        f"`apiVersion: {crd['group']}/{version['name']}`, `kind: {names['kind']}`, short name "
        f"`{names['shortNames'][0]}`, category `{names['categories'][0]}`. {schema['description']}"
    )
    parts = [
        HEADER,
        about,
        _columns(version["additionalPrinterColumns"]),
        _table(
            "spec", schema["properties"]["spec"], frozenset(required("spec", schema["properties"]["spec"]))
        ),
        _rules(schema),
        _table("status", schema["properties"]["status"]),
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _columns(columns: list[Schema]) -> str:
    rows = [
        f"| {column['name'].upper()} | {'wide' if 'priority' in column else ''} | {column['description']} |"
        for column in columns
    ]
    return "\n".join(
        ["## Columns of `kubectl get infc`\n", "| column | `-o` | meaning |", "| --- | --- | --- |", *rows]
    )


def _table(name: str, schema: Schema, must: Collection[str] = ()) -> str:
    rows = [
        f"| `{path}` | {_kind(field)} | {'required' if path in must else _default(field)} "
        f"| {_escaped(field.get('description', ''))} |"
        for path, field in fields(name, schema)
    ]
    head = [
        f"## {name}\n",
        f"{schema['description']}\n",
        "| field | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join(head + rows)


def _rules(schema: Schema) -> str:
    rows = [f"- `{path}`: {_escaped(message)}" for path, message in messages("", schema)]
    return "\n".join(["## What is refused\n", *dict.fromkeys(rows)])


def fields(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every field below `schema`, with its dotted path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(f"{path}.{name}", field)
        if "items" in field:
            yield from fields(f"{path}.{name}[]", field["items"])


def required(path: str, schema: Schema) -> Iterator[str]:
    """Dotted paths of the fields below `schema` that must be there where what holds them is."""
    yield from (f"{path}.{name}" for name in schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        yield from required(f"{path}.{name}", field)
        yield from required(f"{path}.{name}[]", field.get("items", {}))


def messages(path: str, schema: Schema) -> Iterator[tuple[str, str]]:
    """What each CEL rule tells a user, with the path of the field that it guards."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path or "metadata.name", rule["message"].removeprefix("metadata.name ")
    for name, field in schema.get("properties", {}).items():
        yield from messages(f"{path}.{name}" if path else name, field)
    for inner, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if inner in schema:
            yield from messages(path + mark, schema[inner])


def _kind(field: Schema) -> str:
    """Type and bounds in a few words."""
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "minimum" in field and "maximum" in field:
        return f"{field['type']}, {field['minimum']} to {field['maximum']}"
    if "items" in field:
        return f"list of {field['items']['type']}s"
    if field["type"] == "object" and "additionalProperties" in field:
        return "map"
    return str(field["type"])


def _default(field: Schema) -> str:
    default = field.get("default")
    return "" if default is None or isinstance(default, dict) else f"`{default}`"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    generated.main(
        "dev.reference",
        "Write docs/reference.",
        {TARGET: page, METRICS: metrics_page.page, HTTP: http_page.page, NODE: node_page.page},
    )
