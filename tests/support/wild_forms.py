"""Random small forms for answers, and judges that share nothing with the library that holds to them."""

import json
import random
import re
from typing import Any

import jsonschema

from kvring_node.messages import Grammar, GrammarKind

Schema = dict[str, Any]


def form(seed: int) -> Grammar:
    """A schema or a regular expression."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        return Grammar(GrammarKind.JSON_SCHEMA, json.dumps(schema(rng, 2)))
    return Grammar(GrammarKind.REGEX, regex(rng, 3))


def is_kept(grammar: Grammar, text: str) -> bool:
    """Whether an answer has its form."""
    if grammar.kind is GrammarKind.REGEX:
        return re.fullmatch(grammar.text, text) is not None
    try:
        jsonschema.validate(json.loads(text), json.loads(grammar.text))
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def schema(rng: random.Random, depth: int) -> Schema:
    kinds = [_string, _integer, _number, _enum, _const, _constant_type]
    if depth:
        kinds += [_object, _object, _array, _any_of]
    return rng.choice(kinds)(rng, depth)


def _string(rng: random.Random, depth: int) -> Schema:
    shortest = rng.randint(0, 2)
    return rng.choice(
        [
            {"type": "string", "minLength": shortest, "maxLength": shortest + rng.randint(0, 5)},
            {"type": "string", "pattern": f"^{regex(rng, 1)}$"},
            {"type": "string", "format": rng.choice(["date", "ipv4", "uuid"])},
        ]
    )


def _integer(rng: random.Random, depth: int) -> Schema:
    least = rng.randint(-300, 300)
    return {"type": "integer", "minimum": least, "maximum": least + rng.randint(0, 1000)}


def _number(rng: random.Random, depth: int) -> Schema:
    least = rng.randint(-30, 30) / 4
    return {"type": "number", "minimum": least, "exclusiveMaximum": least + rng.randint(1, 100)}


def _enum(rng: random.Random, depth: int) -> Schema:
    return {
        "enum": rng.sample([None, True, 7, -1.5, "a", "ab", 'quo"te', "ü", [], {"a": 1}], rng.randint(1, 4))
    }


def _const(rng: random.Random, depth: int) -> Schema:
    return {"const": rng.choice(["x y", 12, [1, "two"], {"deep": {"er": None}}])}


def _constant_type(rng: random.Random, depth: int) -> Schema:
    return {"type": rng.choice(["boolean", "null", ["null", "boolean"]])}


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(["a", "b", "name", "with space", "ä"], rng.randint(0, 4))
    return {
        "type": "object",
        "properties": {name: schema(rng, depth - 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
        "additionalProperties": False,
    }


def _array(rng: random.Random, depth: int) -> Schema:
    fewest = rng.randint(0, 2)
    most = fewest + rng.randint(0, 2)
    return {"type": "array", "items": schema(rng, depth - 1), "minItems": fewest, "maxItems": most}


def _any_of(rng: random.Random, depth: int) -> Schema:
    return {"anyOf": [schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]}


def regex(rng: random.Random, depth: int) -> str:
    """What Python's `re` and Rust's `regex` read alike, so no `\\s` and no `\\d`."""
    if not depth or rng.random() < 0.3:
        return rng.choice(["a", "b", "xyz", "[0-9]", "[a-f]", "[^a-z ]", "\\.", "é", "[A-Z]{2}"])
    parts = [regex(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    match rng.choice(["both", "either", "maybe", "some"]):
        case "both":
            return "".join(parts)
        case "either":
            return f"(?:{'|'.join(parts)})"
        case "maybe":
            return f"(?:{''.join(parts)})?"
        case _:
            fewest = rng.randint(0, 2)
            return f"(?:{parts[0]}){{{fewest},{fewest + rng.randint(1, 3)}}}"
