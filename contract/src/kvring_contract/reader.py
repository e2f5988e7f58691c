"""Typed reading of nested mappings that names the path of what is wrong."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Parse = Callable[[Any], T]
"""Turns one JSON value into a typed one; raises `ValueError` with a message for the user."""


class ParseError(ValueError):
    """A field is missing or wrong; `path` names it as `kubectl explain` does."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


@dataclass(frozen=True)
class Reader:
    """One object of a document and the path that leads to it. A null field is an absent one."""

    value: Mapping[str, Any]
    path: str

    def child(self, name: str) -> "Reader":
        """The object under `name`; empty when it is absent."""
        path = self._path(name)
        value = self.value.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise ParseError(path, f"{value!r} is not an object")
        return Reader(value or {}, path)

    def objects(self, name: str, most: int) -> tuple["Reader", ...]:
        """The objects of a list under `name`; none when it is absent."""
        path = self._path(name)
        entries = self.value.get(name)
        if entries is None:
            return ()
        if not isinstance(entries, list) or len(entries) > most:
            raise ParseError(path, f"is not a list of at most {most} objects: begin each one with a dash")
        for number, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                raise ParseError(f"{path}[{number}]", f"{entry!r} is not an object")
        return tuple(Reader(entry, f"{path}[{number}]") for number, entry in enumerate(entries))

    def read(self, name: str, parse: Parse[T], default: T) -> T:
        """The parsed field, or `default` when it is absent."""
        return default if self.value.get(name) is None else self.require(name, parse)

    def require(self, name: str, parse: Parse[T]) -> T:
        """The parsed field, which must be there."""
        value = self.value.get(name)
        if value is None:
            raise ParseError(self._path(name), "is required")
        try:
            return parse(value)
        except ValueError as error:
            raise ParseError(self._path(name), str(error)) from error

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def integer(low: int, high: int) -> Parse[int]:
    """A whole number in [low, high]."""

    def parse(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{value!r} is not a whole number from {low} to {high}")
        return value

    return parse


def one_of(choices: Collection[int]) -> Parse[int]:
    """One of a few whole numbers."""

    def parse(value: Any) -> int:
        if type(value) is not int or value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(map(str, choices))}")
        return value

    return parse


def choice(kind: type[E]) -> Parse[E]:
    """A member of an enumeration, by its value."""

    def parse(value: Any) -> E:
        if not isinstance(value, str) or value not in list(kind):
            raise ValueError(f"{value!r} is none of {', '.join(kind)}")
        return kind(value)

    return parse


def text(pattern: str, wanted: str) -> Parse[str]:
    """A string that matches `pattern` as a whole; `wanted` says in words what that is."""
    compiled = re.compile(pattern)

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(f"{value!r} is not {wanted}")
        return value

    return parse


def bounded(parse: Parse[T], low: T, high: T, wanted: str) -> Parse[T]:
    """What `parse` gives, refused outside [low, high] with `wanted` in words."""

    def check(value: Any) -> T:
        parsed = parse(value)
        if not low <= parsed <= high:  # type: ignore[operator]  # numbers, all of them
            raise ValueError(f"{value!r} is not {wanted}")
        return parsed

    return check
