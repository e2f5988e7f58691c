"""Integers as some clients write them: 16.0.

JSON has one kind of number, and to JSON Schema, which describes these bodies, 16.0 is an integer. Writers
that keep all numbers as doubles, such as Gson's and those of protobuf's Struct, know no other way.
"""

import functools
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T", bound=msgspec.Struct)


def decode(body: bytes | msgspec.Raw, struct: type[_T]) -> _T:
    """The `struct` of a body that has 16.0 for 16 in fields for integers and lists of them.

    Raises `msgspec.DecodeError`.
    """
    fields = msgspec.json.decode(body)
    if isinstance(fields, dict):
        fields |= {name: _plain(fields[name]) for name in _for_integers(struct) & fields.keys()}
    return msgspec.convert(fields, struct, str_keys=True)


@functools.cache
def _for_integers(struct: type[msgspec.Struct]) -> frozenset[str]:
    fields = msgspec.inspect.type_info(struct).fields  # type: ignore[attr-defined]  # a struct's info has them
    return frozenset(field.encode_name for field in fields if _takes_integers(field.type))


def _takes_integers(kind: msgspec.inspect.Type) -> bool:
    match kind:
        case msgspec.inspect.IntType():
            return True
        case msgspec.inspect.UnionType(types=kinds):
            return any(map(_takes_integers, kinds))
        case msgspec.inspect.ListType(item_type=inner) | msgspec.inspect.Metadata(type=inner):
            return _takes_integers(inner)
    return False


def _plain(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [*map(_plain, value)]
    return value
