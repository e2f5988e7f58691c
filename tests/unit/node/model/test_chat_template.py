"""Conversations made text as transformers does, and templates of strangers kept at bay."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from tests.support import tiny_models

from kvring_node.model.chat_template import TemplateError
from kvring_node.model.errors import ModelError
from kvring_node.model.tokenizer import Tokenizer

TRIMS = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{{ eos_token }}{% endfor %}"
MESSAGES = [{"role": "user", "content": "naïve <b>日本</b>"}, {"role": "assistant", "content": "ok"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    tiny_models.llama(made)
    return made


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer(folder)


def test_a_conversation_is_rendered_as_transformers_does(folder: Path, tokenizer: Tokenizer) -> None:
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    want = peer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    assert tokenizer.render_chat(MESSAGES) == want
    assert tokenizer.encode_chat(MESSAGES) == peer(want, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("content", ["so far", "so far  ", " so\nfar"])
@pytest.mark.parametrize("template", [tiny_models.CHAT_TEMPLATE, TRIMS], ids=["as it is", "trimmed"])
def test_a_message_is_continued_as_transformers_does(
    template: str, content: str, folder: Path, tmp_path: Path
) -> None:
    ours = with_template(folder, template, tmp_path)
    messages = [MESSAGES[0], {"role": "assistant", "content": content}]
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    want = peer.apply_chat_template(
        messages, chat_template=template, continue_final_message=True, tokenize=False
    )

    assert ours.render_chat(messages, continue_final_message=True, add_generation_prompt=False) == want


def test_a_message_that_the_template_does_not_show_cannot_be_continued(folder: Path, tmp_path: Path) -> None:
    tokenizer = with_template(folder, "{{ messages[0].content }}", tmp_path)
    with pytest.raises(TemplateError, match="does not show"):
        tokenizer.render_chat(MESSAGES, continue_final_message=True)


def with_template(folder: Path, template: Any, tmp_path: Path) -> Tokenizer:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": template, "bos_token": None, "eos_token": {"content": "<|end|>"}})
    )
    return Tokenizer(tmp_path, strftime_now=lambda wanted: f"now in {wanted}")


@pytest.mark.parametrize(
    ("sentence", "template", "text"),
    [
        ("a token that the model lacks is nothing", "[{{ bos_token }}{{ eos_token }}]", "[<|end|>]"),
        ("there are no tools", "{% if tools is none and documents is none %}none{% endif %}", "none"),
        ("what was marked for training is text", "{% generation %}a{% endgeneration %}", "a"),
        ("the day can be told", "{{ strftime_now('%Y') }}", "now in %Y"),
        ("JSON can be dense", "{{ {'b': 1, 'a': 'é'} | tojson(separators=(',', ':'), sort_keys=true) }}",
         '{"a":"é","b":1}'),
    ],
)  # fmt: skip
def test_a_template_finds_what_transformers_gives(
    sentence: str, template: str, text: str, folder: Path, tmp_path: Path
) -> None:
    assert with_template(folder, template, tmp_path).render_chat(MESSAGES) == text, sentence


@pytest.mark.parametrize(
    ("sentence", "template", "complaint"),
    [
        ("the template refuses", "{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        (
            "the template wants what the client did not send",
            "{{ messages[0].name.upper() }}",
            "has no attribute",
        ),
        ("the template divides by zero", "{{ 1 // 0 }}", "by zero"),
        ("the template counts for ever", "{% for i in range(10**9) %}{% endfor %}", "too big"),
        ("the template has no end", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("the template tries to get out", "{{ ''.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_error_is_the_clients(
    sentence: str, template: str, complaint: str, folder: Path, tmp_path: Path
) -> None:
    tokenizer = with_template(folder, template, tmp_path)
    with pytest.raises(TemplateError, match=complaint):
        tokenizer.render_chat(MESSAGES)


@pytest.mark.parametrize("template", ["{% if %}", 5, [{"name": "default"}]], ids=str)
def test_a_broken_template_is_the_models_fault(template: Any, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="chat template"):
        with_template(folder, template, tmp_path)


def test_a_template_that_is_no_text_is_the_models_fault(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="chat template"):
        with_template(folder, "", tmp_path)


def test_without_a_template_chat_is_refused_and_says_what_to_use(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    tokenizer = Tokenizer(tmp_path)
    with pytest.raises(TemplateError, match="/v1/completions"):
        tokenizer.encode_chat(MESSAGES)


def test_json_in_templates_is_not_escaped_for_html(folder: Path, tmp_path: Path) -> None:
    tokenizer = with_template(folder, "{{ messages[0] | tojson }}", tmp_path)
    assert tokenizer.render_chat(MESSAGES) == json.dumps(MESSAGES[0], ensure_ascii=False)
