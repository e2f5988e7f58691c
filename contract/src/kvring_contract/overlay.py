"""`spec.template`: the pod overlay, checked as far as it is read here; the rest goes to the pod as written.

Nulls are left out: in a pod they mean the same as absent fields.
"""

from collections.abc import Mapping
from typing import Any

from kvring_contract import reader
from kvring_contract.names import CONTAINER, GROUP
from kvring_contract.reader import ParseError, Reader

SHARED = ("volumes", "tolerations", "imagePullSecrets", "topologySpreadConstraints", "resourceClaims")
"""Lists of the pod that are appended to the operator's own."""
OWNED = {
    "restartPolicy": "remove restartPolicy; the operator sets it",
    "hostname": "remove hostname; the operator sets it",
    "subdomain": "remove subdomain; the operator sets it",
    "nodeName": "remove nodeName; use nodeSelector or affinity to choose machines",
    "terminationGracePeriodSeconds": "remove terminationGracePeriodSeconds; set spec.drain.timeout",
    "activeDeadlineSeconds": "remove activeDeadlineSeconds; a member has no deadline",
    "readinessGates": "remove readinessGates; the operator sets them",
}
_OWNED_IN_NODE = ("command", "args", "ports", "resources")
_MOST_CONTAINERS, _MOST_OBJECTS, _MOST_WORDS, _MOST_LABELS = 16, 64, 256, 32
_NAME = reader.text(r"(?s).{0,63}", "a name of at most 63 characters")
_VARIABLE = reader.text(r"(?s).{0,253}", "the name of a variable, of at most 253 characters")
_LABEL = reader.text(r"(?s).{0,63}", "a string of at most 63 characters")
_LONG = reader.text(r"(?s).{0,4096}", "a string of at most 4096 characters")


def parse(at: Reader) -> Mapping[str, Any]:
    """Read `spec.template`; raises `ParseError`."""
    rooms = {"metadata": _metadata, "spec": _spec}
    return {name: read(at.child(name)) for name, read in rooms.items() if at.value.get(name) is not None}


def _metadata(at: Reader) -> Mapping[str, Any]:
    kinds = {"labels": _LABEL, "annotations": _LONG}
    return {
        name: _strings(at.child(name), kind) for name, kind in kinds.items() if at.value.get(name) is not None
    }


def _strings(at: Reader, parse: reader.Parse[str]) -> Mapping[str, str]:
    given = _present(at)
    if len(given) > _MOST_LABELS:
        raise ParseError(at.path, f"holds more than {_MOST_LABELS} keys")
    if any(key.startswith(f"{GROUP}/") for key in given):
        raise ParseError(at.path, f"keys under {GROUP}/ belong to the operator; choose another prefix")
    return {key: at.require(key, parse) for key in given}


def _spec(at: Reader) -> Mapping[str, Any]:
    spec = _present(at)
    for name in OWNED.keys() & spec.keys():
        raise ParseError(at.path, OWNED[name])
    for name in SHARED:
        at.objects(name, _MOST_OBJECTS)
    for container in at.objects("initContainers", _MOST_CONTAINERS):
        if container.require("name", _NAME) == CONTAINER:
            raise ParseError(
                container.path, f"the name {CONTAINER} belongs to the engine's container; choose another"
            )
    if "containers" in spec:
        spec["containers"] = [_container(entry) for entry in at.objects("containers", _MOST_CONTAINERS)]
    return spec


def _container(at: Reader) -> Mapping[str, Any]:
    container = _present(at)
    name = at.require("name", _NAME)
    for words in {"command", "args"} & container.keys():
        at.require(words, _words)
    at.objects("ports", _MOST_OBJECTS)
    at.child("resources")
    at.objects("volumeMounts", _MOST_OBJECTS)
    for variable in at.objects("env", _MOST_WORDS):
        variable.require("name", _VARIABLE)
    if name == CONTAINER and container.keys() & set(_OWNED_IN_NODE):
        raise ParseError(
            at.path,
            "command, args, ports and resources of the container node belong to the operator; "
            "set spec.model, spec.scheduling, spec.cache and spec.resources instead",
        )
    return container


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > _MOST_WORDS:
        raise ValueError(f"is not a list of at most {_MOST_WORDS} strings")
    return [_LONG(word) for word in value]


def _present(at: Reader) -> dict[str, Any]:
    return {name: value for name, value in at.value.items() if value is not None}
