"""What tokens spell, put together, is the text; for both ways in which vocabularies write bytes."""

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tests.support import byte_fallback, byte_folder

from kvring_node.model.tokenizer import Tokenizer


@pytest.fixture(scope="module", params=["bytes as letters", "bytes as tokens"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    make = {"bytes as letters": byte_folder.make, "bytes as tokens": byte_fallback.make}[request.param]
    return Tokenizer(make(tmp_path_factory.mktemp("tokenizer")))


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="▁")))
def test_what_the_tokens_spell_is_the_text(text: str, tokenizer: Tokenizer) -> None:
    """But for the space that SentencePiece's models want before it."""
    ids = tokenizer.encode(text, add_special_tokens=False)

    spelled = b"".join(map(tokenizer.spell, ids)).decode()

    assert spelled in (text, " " + text)


def test_a_special_token_spells_its_name_and_an_unknown_one_nothing(tmp_path: Path) -> None:
    tokenizer = Tokenizer(byte_fallback.make(tmp_path))

    assert (tokenizer.spell(0), tokenizer.spell(10**9)) == (b"<s>", b"")


def test_a_word_that_looks_like_bytes_is_a_word_where_bytes_are_letters(tmp_path: Path) -> None:
    folder = byte_folder.make(tmp_path)
    inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    inner.add_tokens(["<0x41>", "▁"])
    inner.save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer(folder)

    assert [tokenizer.spell(i) for i in tokenizer.encode("a<0x41>▁")] == [b"a", b"<0x41>", "▁".encode()]
