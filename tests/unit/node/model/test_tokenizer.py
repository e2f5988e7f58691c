"""Text and tokens: piece by piece as at once, and templates as in transformers."""

import itertools
import json
from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tests.support import tiny_models
from tokenizers import decoders, models, normalizers, processors

from kvring_node.model.errors import ModelError
from kvring_node.model.tokenizer import Detokenizer, TemplateError, Tokenizer

MESSAGES = [{"role": "user", "content": "naïve <b>日本</b>"}, {"role": "assistant", "content": "ok"}]


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
    assert "".join(pushed(tokenizer.detokenizer(), pieces_of(token_ids, cuts))) == tokenizer.decode(token_ids)


@given(text=st.text())
def test_no_piece_of_a_valid_text_shows_half_a_character(text: str, tokenizer: Tokenizer) -> None:
    token_ids = tokenizer.encode(text)
    stream = tokenizer.detokenizer()
    shown = ""
    for token_id in token_ids:
        shown += stream.push([token_id])
        assert text.startswith(shown)
    assert shown + stream.flush() == text


def test_text_is_shown_as_soon_as_it_is_certain(tokenizer: Tokenizer) -> None:
    stream = tokenizer.detokenizer()
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
    """Made like Llama 2's: few words, and a token for each byte of all other characters."""
    symbols = ["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "t", "h", "e", "▁t", "▁th", "▁the"]
    merges = [("▁", "t"), ("▁t", "h"), ("▁th", "e")]
    inner = tokenizers.Tokenizer(
        models.BPE({symbol: i for i, symbol in enumerate(symbols)}, merges, byte_fallback=True)
    )
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.add_special_tokens(["<s>"])
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    folder = tmp_path_factory.mktemp("sentencepiece")
    inner.save(str(folder / "tokenizer.json"))
    return folder


@given(text=st.text(st.sampled_from(" the\n&éß日本語世界😀")))
def test_characters_that_fall_back_to_bytes_come_whole(text: str, sentencepiece: Path) -> None:
    tokenizer = Tokenizer(sentencepiece)
    stream = tokenizer.detokenizer()
    shown = ""
    for token_id in tokenizer.encode(text):
        shown += stream.push([token_id])
        assert text.startswith(shown)
    assert shown + stream.flush() == text


def test_a_byte_that_is_no_character_spoils_nothing_that_was_shown(sentencepiece: Path) -> None:
    tokenizer = Tokenizer(sentencepiece)
    half = tokenizer.encode("日")[2:4]
    stream = tokenizer.detokenizer()
    pieces = pushed(stream, [[i] for i in (*tokenizer.encode("世"), *half, *tokenizer.encode("the"))])
    assert "".join(pieces) == "世�� the"


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


def test_a_conversation_is_rendered_as_transformers_does(folder: Path, tokenizer: Tokenizer) -> None:
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    want = peer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    assert tokenizer.render_chat(MESSAGES) == want
    assert tokenizer.encode_chat(MESSAGES) == peer(want, add_special_tokens=False)["input_ids"]


def with_template(folder: Path, template: str, tmp_path: Path) -> Tokenizer:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return Tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("sentence", "template", "complaint"),
    [
        ("the template refuses", "{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        (
            "the template wants what the client did not send",
            "{{ messages[0].name.upper() }}",
            "has no attribute",
        ),
        ("the template tries to get out", "{{ ''.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_error_is_the_clients(
    sentence: str, template: str, complaint: str, folder: Path, tmp_path: Path
) -> None:
    tokenizer = with_template(folder, template, tmp_path)
    with pytest.raises(TemplateError, match=complaint):
        tokenizer.render_chat(MESSAGES)


def test_a_broken_template_is_the_models_fault(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="chat template"):
        with_template(folder, "{% if %}", tmp_path)


def test_without_a_template_chat_is_refused_and_says_what_to_use(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    tokenizer = Tokenizer(tmp_path)
    assert not tokenizer.has_chat_template
    with pytest.raises(TemplateError, match="/v1/completions"):
        tokenizer.encode_chat(MESSAGES)


def test_json_in_templates_is_not_escaped_for_html(folder: Path, tmp_path: Path) -> None:
    tokenizer = with_template(folder, "{{ messages[0] | tojson }}", tmp_path)
    assert tokenizer.render_chat(MESSAGES) == json.dumps(MESSAGES[0], ensure_ascii=False)
