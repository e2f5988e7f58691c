"""An answer's text is what its tokens add to the prompt's, and costs the same however long it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import tokenizers
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support import byte_fallback, byte_folder
from tokenizers import decoders, models, pre_tokenizers

from kvring_node.model.tokenizer import INCOMPLETE, Tokenizer

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
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {
        "SentencePiece": metaspace(folder / "metaspace"),
        "Llama 2": byte_fallback.make(folder / "llama"),
        "bytes": byte_folder.make(folder / "bytes"),
        "pairs of bytes": merged_bytes(folder / "merged"),
        "WordPiece": word_piece(folder / "word piece"),
    }


@pytest.fixture(scope="module")
def made(folders: dict[str, Path]) -> dict[str, Tokenizer]:
    return {kind: Tokenizer(folder) for kind, folder in folders.items()}


@pytest.fixture(scope="module")
def peers(folders: dict[str, Path]) -> dict[str, tokenizers.Tokenizer]:
    """The library's own."""
    return {
        kind: tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        for kind, folder in folders.items()
    }


def streamed(tokenizer: Tokenizer, prompt: list[int], answer: list[int]) -> str:
    stream = tokenizer.detokenizer(prompt)
    return "".join([*(stream.push([token_id]) for token_id in answer), stream.flush()])


KINDS = ["SentencePiece", "Llama 2", "bytes", "pairs of bytes", "WordPiece"]


TEXTS = st.text("the paris.é日😀", min_size=1, max_size=12)


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS, cut=st.integers(0, 30))
def test_prompt_and_answer_are_the_text_of_both(
    made: dict[str, Tokenizer], kind: str, text: str, cut: int
) -> None:
    tokenizer = made[kind]
    ids = tokenizer.encode(text)
    whole = tokenizer.decode(ids)
    # Where the cut is within a character, the whole of that belongs to the answer.
    befores = (tokenizer.decode(ids[:end]) for end in range(cut, -1, -1))
    before = next(text for text in befores if whole.startswith(text))

    assert before + streamed(tokenizer, ids[:cut], ids[cut:]) == whole


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Llama 2"])
@given(ids=st.lists(st.integers(0, 60), max_size=30), cut=st.integers(0, 30))
def test_so_they_are_where_bytes_are_no_characters(
    made: dict[str, Tokenizer], kind: str, ids: list[int], cut: int
) -> None:
    """But with Llama 2's, whose decoder makes nothing but U+FFFD of bytes among which one is wrong."""
    tokenizer = made[kind]
    whole, before = tokenizer.decode(ids), tokenizer.decode(ids[:cut])
    shown = streamed(tokenizer, ids[:cut], ids[cut:])

    if whole.startswith(before):
        assert before + shown == whole
    else:  # wrong bytes may be of the same token as the first ones of a character
        assert whole.endswith(shown.lstrip(INCOMPLETE))


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS, cut=st.integers(1, 30))
def test_an_answer_reads_as_in_vllm(
    made: dict[str, Tokenizer], peers: dict[str, tokenizers.Tokenizer], kind: str, text: str, cut: int
) -> None:
    """Which hands prompt and answer to this class of the library; a prompt within a character confuses it."""
    tokenizer = made[kind]
    ids = tokenizer.encode(text)
    prompt, answer = ids[:cut], ids[cut:]
    assume(not tokenizer.decode(prompt).endswith(INCOMPLETE))
    stream = decoders.DecodeStream(ids=prompt, skip_special_tokens=True)
    assert streamed(tokenizer, prompt, answer) == "".join(stream.step(peers[kind], i) or "" for i in answer)


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
