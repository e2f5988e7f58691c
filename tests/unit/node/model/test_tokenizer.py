"""Text and tokens: piece by piece as at once."""

import itertools
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tests.support import byte_fallback, byte_folder, tiny_models

from kvring_node.model.tokenizer import INCOMPLETE, Detokenizer, Tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    tiny_models.llama(made)
    return made


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder)


def pieces_of(token_ids: list[int], cuts: list[int]) -> list[list[int]]:
    edges = [0, *sorted({cut % (len(token_ids) + 1) for cut in cuts}), len(token_ids)]
    return [token_ids[first:last] for first, last in itertools.pairwise(edges)]


def pushed(stream: Detokenizer, pieces: list[list[int]]) -> list[str]:
    return [*(stream.push(piece) for piece in pieces), stream.flush()]


@given(token_ids=st.lists(st.integers(0, tiny_models.EOS)), cuts=st.lists(st.integers(0, 100)))
def test_pieces_and_flush_are_the_text_of_all_tokens(
    token_ids: list[int], cuts: list[int], tokenizer: Tokenizer
) -> None:
    shown = "".join(pushed(tokenizer.detokenizer([]), pieces_of(token_ids, cuts)))
    assert shown == tokenizer.decode(token_ids)


@given(text=st.text())
def test_no_piece_of_a_valid_text_shows_half_a_character(text: str, tokenizer: Tokenizer) -> None:
    token_ids = tokenizer.encode(text)
    stream = tokenizer.detokenizer([])
    shown = ""
    for token_id in token_ids:
        shown += stream.push([token_id])
        assert text.startswith(shown)
    assert shown + stream.flush() == text


def test_text_is_shown_as_soon_as_it_is_certain(tokenizer: Tokenizer) -> None:
    stream = tokenizer.detokenizer([])
    assert [stream.push([token_id]) for token_id in tokenizer.encode("aé日!")] == [
        "a",
        "",
        "é",
        "",
        "",
        "日",
        "!",
    ]


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_fallback.make(tmp_path_factory.mktemp("sentencepiece"))


@given(text=st.text(st.sampled_from(" the\n&éß日本語世界😀")))
def test_characters_that_fall_back_to_bytes_come_whole(text: str, sentencepiece: Path) -> None:
    tokenizer = Tokenizer(sentencepiece)
    stream = tokenizer.detokenizer([])
    shown = ""
    for token_id in tokenizer.encode(text):
        shown += stream.push([token_id])
        assert text.startswith(shown)
    assert shown + stream.flush() == text


def test_a_byte_that_is_no_character_spoils_nothing_that_was_shown(sentencepiece: Path) -> None:
    tokenizer = Tokenizer(sentencepiece)
    half = tokenizer.encode("日")[2:4]
    stream = tokenizer.detokenizer([])
    pieces = pushed(stream, [[i] for i in (*tokenizer.encode("世"), *half, *tokenizer.encode("the"))])
    assert "".join(pieces) == "世�� the"


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One token a byte, written as GPT-2 writes bytes."""
    return Tokenizer(byte_folder.make(tmp_path_factory.mktemp("letters")))


@given(given_bytes=st.binary(max_size=30), cuts=st.lists(st.integers(0, 100), max_size=5))
def test_any_bytes_cut_anywhere_are_the_text_of_the_whole(
    given_bytes: bytes, cuts: list[int], letters: Tokenizer
) -> None:
    id_of = {letters.spell(token_id): token_id for token_id in range(256)}
    ids = [id_of[bytes([byte])] for byte in given_bytes]
    shown = "".join(pushed(letters.detokenizer([]), pieces_of(ids, cuts)))

    assert shown == letters.decode(ids) == given_bytes.decode(errors="replace")


@given(
    text=st.text(st.characters(codec="utf-8", exclude_characters=INCOMPLETE), max_size=10),
    rest=st.binary(max_size=10),
    cuts=st.lists(st.integers(0, 100), max_size=5),
)
def test_bytes_that_fall_back_are_the_text_of_the_whole_up_to_the_first_wrong_one(
    text: str, rest: bytes, cuts: list[int], sentencepiece: Path
) -> None:
    """From there on the whole's text has only U+FFFD for the run of bytes, characters before it included."""
    tokenizer = Tokenizer(sentencepiece)
    ids = [byte_fallback.FIRST_BYTE + byte for byte in text.encode()]
    assert "".join(pushed(tokenizer.detokenizer([]), pieces_of(ids, cuts))) == tokenizer.decode(ids)

    more = [byte_fallback.FIRST_BYTE + byte for byte in rest]
    stream = tokenizer.detokenizer([])
    shown = "".join(stream.push([token_id]) for token_id in ids)
    shown += "".join(pushed(stream, pieces_of(more, cuts)))
    assert shown.startswith(tokenizer.decode(ids))
    assert INCOMPLETE in shown or shown == tokenizer.decode(ids + more)


def test_the_length_a_tokenizer_was_trained_with_neither_cuts_nor_pads_prompts(
    sentencepiece: Path, tmp_path: Path
) -> None:
    inner = tokenizers.Tokenizer.from_file(str(sentencepiece / "tokenizer.json"))
    inner.enable_truncation(4)
    inner.enable_padding(length=8)
    inner.save(str(tmp_path / "tokenizer.json"))
    for text in ("the", "the the the the the"):
        assert Tokenizer(tmp_path).encode(text) == Tokenizer(sentencepiece).encode(text)


def test_special_tokens_are_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([*tokenizer.encode("a"), tiny_models.EOS]) == "a"
