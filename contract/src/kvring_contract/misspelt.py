"""Fields of a resource that nobody reads.

`api.parse` passes them over, since a newer release may know them; a person who wrote one misspelt another.
"""

import difflib
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any

from kvring_contract import api

_OTHERS = ("metadata", "status", "spec.template.spec")
"""The API server's, the operator's, and the pod's: what is below is theirs to know."""


class _Asked(dict[str, Any]):
    """An object that remembers which fields it was asked for; who walks through it asks for all it has."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__({name: _remembering(value) for name, value in content.items()})
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # a view is a view
        self.asked.update(self)
        return super().items()


def fields(body: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with each unknown field, by its path; raises `ParseError` as `api.parse` does."""
    remembering = _Asked(body)
    api.parse(remembering)
    return tuple(_unknown(remembering, ""))


def _remembering(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _Asked(value)
    return [_remembering(entry) for entry in value] if isinstance(value, list) else value


def _unknown(at: _Asked, path: str) -> Iterator[str]:
    known = sorted(at.asked)
    for name, value in dict.items(at):
        here = f"{path}{name}"
        if name not in at.asked:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"{here}: unknown field" + (f"; did you mean {path}{near[0]}?" if near else "")
        elif isinstance(value, _Asked) and here not in _OTHERS:
            yield from _unknown(value, f"{here}.")
