"""An answer's text is what its tokens add to the prompt's, and costs the same however long it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tests.support import byte_fallback, byte_folder
from tokenizers import decoders, models, pre_tokenizers

from kvring_node.model.tokenizer import Tokenizer

END = "<|end|>"


def metaspace(folder: Path) -> Path:
    """As newer SentencePiece tokenizers are written."""
    symbols = [END, "▁", *"theparis.", "▁t", "▁th", "▁the", "▁p", "▁pa"]
    merges = [("▁", "t"), ("▁t", "h"), ("▁th", "e"), ("▁", "p"), ("▁p", "a")]
    inner = tokenizers.Tokenizer(
        models.BPE({symbol: i for i, symbol in enumerate(dict.fromkeys(symbols))}, merges)
    )
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    return saved(inner, folder)


def word_piece(folder: Path) -> Path:
    """As BERT's."""
    words = [END, "[UNK]", "the", "pa", "##ris", "##s", "is", ".", "n", "'", "##t"]
    inner = tokenizers.Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    return saved(inner, folder)


def merged_bytes(folder: Path) -> Path:
    """As GPT-2's, with tokens of many bytes that are no whole characters."""
    letters = dict(zip("日😀".encode(), "æĹ¥ðŁĺĢ", strict=True))
    alphabet = dict.fromkeys([*letters.values(), *pre_tokenizers.ByteLevel.alphabet()])
    pairs = [(left, right) for left in letters.values() for right in letters.values()]
    words = [END, *("".join(pair) for pair in pairs), *alphabet]
    inner = tokenizers.Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, pairs))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return saved(inner, folder)


def saved(inner: tokenizers.Tokenizer, folder: Path) -> Path:
    folder.mkdir()
    inner.add_special_tokens([END])
    inner.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {
        "SentencePiece": Tokenizer(metaspace(folder / "metaspace")),
        "Llama 2": Tokenizer(byte_fallback.make(folder / "llama")),
        "bytes": Tokenizer(byte_folder.make(folder / "bytes")),
        "pairs of bytes": Tokenizer(merged_bytes(folder / "merged")),
        "WordPiece": Tokenizer(word_piece(folder / "word piece")),
    }


def streamed(tokenizer: Tokenizer, prompt: list[int], answer: list[int]) -> str:
    stream = tokenizer.detokenizer(prompt)
    return "".join([*(stream.push([token_id]) for token_id in answer), stream.flush()])


KINDS = ["SentencePiece", "Llama 2", "bytes", "pairs of bytes", "WordPiece"]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), cut=st.integers(0, 30))
def test_prompt_and_answer_are_the_text_of_all_tokens(
    made: dict[str, Tokenizer], kind: str, data: st.DataObject, cut: int
) -> None:
    tokenizer = made[kind]
    ids = tokenizer.encode(data.draw(st.text("the paris.é日😀", max_size=12)))
    if kind != "Llama 2":  # its decoder makes nothing but U+FFFD of bytes among which one is wrong
        ids += data.draw(st.lists(st.integers(0, 60), max_size=20))
    whole = tokenizer.decode(ids)
    # Where the cut is within a character, the whole of that belongs to the answer.
    befores = (tokenizer.decode(ids[:end]) for end in range(cut, -1, -1))
    before = next(text for text in befores if whole.startswith(text))

    assert before + streamed(tokenizer, ids[:cut], ids[cut:]) == whole


@pytest.mark.parametrize(
    ("kind", "prompt", "answer", "text"),
    [
        ("SentencePiece", "the", " paris", " paris"),
        ("Llama 2", "the", " the", " the"),
        ("Llama 2", "日本日本日本", " the", " the"),
        ("Llama 2", "", "the", "the"),
        ("WordPiece", "the", " pa", " pa"),
        ("bytes", "the", " paris", " paris"),
    ],
    ids=[
        "SentencePiece marks a word's beginning",
        "Llama 2 strips the first space of a text",
        "the tail of a prompt may begin within a character",
        "an answer to nothing begins a text",
        "WordPiece's words begin with a space",
        "bytes are what they are",
    ],
)
def test_the_first_space_of_an_answer(
    made: dict[str, Tokenizer], kind: str, prompt: str, answer: str, text: str
) -> None:
    tokenizer = made[kind]
    ids = tokenizer.encode(prompt)
    more = tokenizer.encode(prompt + answer)[len(ids) :]

    assert streamed(tokenizer, ids, more) == text


def test_special_tokens_at_a_prompts_end_hide_no_text_before_them(made: dict[str, Tokenizer]) -> None:
    tokenizer = made["SentencePiece"]
    end = tokenizer.encode(END, add_special_tokens=False)[-1:]

    assert streamed(tokenizer, [*tokenizer.encode("the"), *end * 50], tokenizer.encode("the")) == " the"


@pytest.mark.parametrize(("kind", "first"), [("bytes", "日"), ("Llama 2", "日")])
def test_a_character_begun_in_the_prompt_comes_whole(
    made: dict[str, Tokenizer], kind: str, first: str
) -> None:
    """A client that goes on with an answer has been shown none of it."""
    tokenizer = made[kind]
    ids = tokenizer.encode("the" + first)

    assert streamed(tokenizer, ids[:-1], [*ids[-1:], *tokenizer.encode("x")[-1:]]) == first + "x"
    assert streamed(tokenizer, ids[:-1], []) == ""


class Counted(Tokenizer):
    """Counts the tokens that it decodes."""

    num_decoded = 0

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        self.num_decoded += len(token_ids)
        return super().decode(token_ids, skip_special_tokens=skip_special_tokens)


@pytest.mark.parametrize(
    ("kind", "token_id"),
    [("bytes", 200), ("Llama 2", byte_fallback.FIRST_BYTE + 0x80), ("Llama 2", 0), ("Llama 2", 10**6)],
    ids=["bytes that are no character", "such bytes that fall back", "a special token", "an unknown token"],
)
def test_what_has_no_text_costs_the_same_for_ever(tmp_path: Path, kind: str, token_id: int) -> None:
    make = byte_folder.make if kind == "bytes" else byte_fallback.make
    tokenizer = Counted(make(tmp_path))
    stream = tokenizer.detokenizer([])
    costs = []
    for _ in range(100):
        before = tokenizer.num_decoded
        stream.push([token_id])
        costs.append(tokenizer.num_decoded - before)

    assert max(costs) < 50


@pytest.mark.parametrize("kind", ["bytes", "Llama 2"])
def test_a_character_after_many_wrong_bytes_comes_whole(made: dict[str, Tokenizer], kind: str) -> None:
    """Where the decoder itself shows it."""
    tokenizer = made[kind]
    wrong = {"bytes": tokenizer.encode("日")[-1:], "Llama 2": [byte_fallback.FIRST_BYTE + 0x80]}[kind] * 20
    ids = [*wrong, *tokenizer.encode("the日the")]

    assert streamed(tokenizer, [], ids) == tokenizer.decode(ids)
