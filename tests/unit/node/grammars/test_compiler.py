"""What a form lets through, and what is refused with a reason that helps."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support import tiny_models

from kvring_node.grammars.compiler import Grammars
from kvring_node.messages import Grammar, GrammarKind
from kvring_node.sequence import GrammarState

JSON_SCHEMA, REGEX, LARK = GrammarKind.JSON_SCHEMA, GrammarKind.REGEX, GrammarKind.LARK
END = "<|end|>"
TOKENIZER = tiny_models.byte_tokenizer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    TOKENIZER.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def grammars(folder: Path) -> Grammars:
    return Grammars(folder, tiny_models.VOCAB_SIZE, frozenset({tiny_models.EOS}))


def next_tokens(state: GrammarState) -> set[str]:
    bits = np.unpackbits(state.bitmask().view(np.uint8), bitorder="little")
    ids = np.flatnonzero(bits[: tiny_models.VOCAB_SIZE]).tolist()
    return {TOKENIZER.decode([token_id], skip_special_tokens=False) for token_id in ids}


def say(state: GrammarState, text: str) -> None:
    for token_id in TOKENIZER.encode(text).ids:
        state.accept(token_id)


@pytest.mark.parametrize(
    ("kind", "text", "said", "allowed"),
    [
        (REGEX, "ab?", "", {"a"}),
        (REGEX, "ab?", "a", {"b", END}),
        (REGEX, "ab?", "ab", {END}),
        (REGEX, "^(yes|no)$", "", {"y", "n"}),
        (LARK, 'start: "yes" | "no"', "y", {"e"}),
        (LARK, 'start: "yes" | "no"', "no", {END}),
        (JSON_SCHEMA, '{"type": "boolean"}', "", {"t", "f"}),
        (JSON_SCHEMA, '{"type": "boolean"}', "true", {END}),
        (JSON_SCHEMA, '{"const": "x"}', "", {'"'}),
        (JSON_SCHEMA, '{"type": "array", "items": {"const": 1}, "maxItems": 2}', "[" + " " * 20, {"1", "]"}),
    ],
)
def test_the_mask_holds_what_may_follow(
    kind: GrammarKind, text: str, said: str, allowed: set[str], grammars: Grammars
) -> None:
    state = grammars.start(Grammar(kind, text))
    say(state, said)
    assert next_tokens(state) == allowed
    assert not state.is_lost


def test_the_end_of_text_may_be_said_and_is_no_loss(grammars: Grammars) -> None:
    state = grammars.start(Grammar(REGEX, "a"))
    say(state, "a")
    state.accept(tiny_models.EOS)
    assert not state.is_lost


def test_every_end_of_text_token_ends_a_form(folder: Path) -> None:
    grammars = Grammars(folder, tiny_models.VOCAB_SIZE, frozenset({tiny_models.EOS, 290}))
    state = grammars.start(Grammar(REGEX, "a"))
    say(state, "a")
    assert len(next_tokens(state)) == 2


def test_tokens_beyond_the_tokenizer_are_never_allowed(folder: Path) -> None:
    state = Grammars(folder, 340, frozenset({tiny_models.EOS})).start(Grammar(REGEX, "(?s:.*)"))
    bits = np.unpackbits(state.bitmask().view(np.uint8), bitorder="little")
    assert len(bits) >= 340
    assert not bits[tiny_models.VOCAB_SIZE :].any()


def test_forks_and_later_starts_go_on_by_themselves(grammars: Grammars) -> None:
    first = grammars.start(Grammar(REGEX, "a(b|c)d"))
    say(first, "a")
    second = first.fork()
    say(first, "b")
    assert (next_tokens(first), next_tokens(second)) == ({"d"}, {"b", "c"})
    assert next_tokens(grammars.start(Grammar(REGEX, "a(b|c)d"))) == {"a"}


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        (REGEX, "a(b", "unclosed group"),
        (REGEX, "(?=a)b", "look-around"),
        (REGEX, "a" * 70_000, "at most 65536"),
        (LARK, "start: other", "unknown name"),
        (LARK, 'x: "a"', "no start rule"),
        (JSON_SCHEMA, "{", "must be a JSON object"),
        (JSON_SCHEMA, "[1]", "must be a JSON object"),
        (JSON_SCHEMA, '{"type": "foo"}', "Invalid type: foo"),
        (JSON_SCHEMA, '{"oneOf": [{"type": "integer"}, {"type": "number"}]}', "oneOf"),
        (JSON_SCHEMA, '{"type": "string", "format": "unheard-of"}', "Unknown format"),
        (JSON_SCHEMA, '{"$ref": "http://nowhere.invalid/schema"}', "not present"),
        (JSON_SCHEMA, '{"items":' * 5000 + "{}" + "}" * 5000, "recursion limit"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_the_reason(
    kind: GrammarKind, text: str, reason: str, grammars: Grammars
) -> None:
    with pytest.raises(ValueError, match=reason):
        grammars.start(Grammar(kind, text))


def chain(num_rules: int) -> str:
    rules = "".join(f"r{i}: r{i + 1}\n" for i in range(num_rules))
    return f'start: r0\n{rules}r{num_rules}: "z"'


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(JSON_SCHEMA, '{"type": "integer", "multipleOf": 999983}', id="seconds in 41 bytes"),
        pytest.param(REGEX, "a?" * 10_000 + "a" * 10_000, id="seconds and a gigabyte"),
        pytest.param(LARK, chain(5000), id="the stack"),
        pytest.param(
            JSON_SCHEMA,
            json.dumps({"properties": {f"p{i}": {} for i in range(3000)}}),
            id="too many properties",
        ),
    ],
)
def test_a_form_that_takes_too_much_harms_nobody(kind: GrammarKind, text: str, grammars: Grammars) -> None:
    with pytest.raises(ValueError, match="make it smaller"):
        grammars.start(Grammar(kind, text))
    assert next_tokens(grammars.start(Grammar(REGEX, "a+"))) == {"a"}


def test_a_model_without_an_end_of_text_token_is_held_to_nothing(folder: Path) -> None:
    with pytest.raises(ValueError, match="no end-of-text token"):
        Grammars(folder, tiny_models.VOCAB_SIZE, frozenset()).start(Grammar(REGEX, "a"))


def test_a_tokenizer_larger_than_the_model_is_told(folder: Path) -> None:
    with pytest.raises(ValueError, match="ask without one"):
        Grammars(folder, 290, frozenset({5})).start(Grammar(REGEX, "a"))


def test_nothing_is_imported_before_a_form_is_asked_for() -> None:
    program = "import sys, kvring_node.assembly; print('llguidance' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "False"
