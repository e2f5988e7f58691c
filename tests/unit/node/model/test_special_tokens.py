"""Which tokens are special, and where those stand that a chat template names."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from tests.support import byte_folder
from tokenizers import models, pre_tokenizers

from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.model.tokenizer import Tokenizer


@pytest.mark.parametrize(
    ("sentence", "token_map", "config", "text"),
    [
        ("the map alone knows them", {"bos_token": "<s>", "eos_token": {"content": "</s>"}}, {}, "<s></s>"),
        (
            "the config knows better",
            {"bos_token": "<s>", "eos_token": "</s>"},
            {"bos_token": "<b>"},
            "<b></s>",
        ),
        ("also that there is none", {"bos_token": "<s>"}, {"bos_token": None}, ""),
        ("what is no text is no token", {"bos_token": 5, "eos_token": {"content": None}}, {}, ""),
    ],
)
def test_special_tokens_may_stand_in_a_file_of_their_own(
    sentence: str,
    token_map: dict[str, Any],
    config: dict[str, Any],
    text: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(token_map))
    byte_folder.make(tmp_path)
    template = {"chat_template": "{{ bos_token }}{{ eos_token }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(template | config))
    assert Tokenizer(tmp_path).render_chat([]) == text, sentence


def test_a_file_of_special_tokens_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (byte_folder.make(tmp_path) / "special_tokens_map.json").write_text("[]")
    with pytest.raises(ModelError, match="holds no JSON object") as caught:
        Tokenizer(tmp_path)
    assert caught.value.reason == ModelFault.CORRUPT


PROPERTIES = {"__type": "AddedToken", "content": "<|a|>", "special": True, "normalized": False}


@pytest.mark.parametrize(
    ("sentence", "config"),
    [
        ("nobody calls it special", {}),
        ("it ends texts", {"eos_token": "<|a|>"}),
        ("it is one more", {"additional_special_tokens": ["<|a|>"]}),
        ("in the new spelling", {"extra_special_tokens": ["<|a|>"]}),
        ("it has a name of its own", {"extra_special_tokens": {"a_token": "<|a|>"}}),
        ("and one that does not say token", {"extra_special_tokens": {"image": "<|a|>"}}),
        ("it is one more, with its properties", {"additional_special_tokens": [PROPERTIES]}),
    ],
)
@pytest.mark.parametrize("is_added", [False, True], ids=["a word", "an added token"])
def test_a_token_is_as_special_as_transformers_takes_it_for(
    is_added: bool, sentence: str, config: dict[str, Any], tmp_path: Path
) -> None:
    words = ["[UNK]", "x", "y", "<", "|", "a", ">", "<|", "|>", *([] if is_added else ["<|a|>"])]
    inner = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if is_added:
        inner.add_tokens([tokenizers.AddedToken("<|a|>", lstrip=True)])
    inner.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "x{{ a_token }}"} | config)
    )
    ours, peer = Tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = ours.encode("x <|a|> y")
    assert ids == peer("x <|a|> y")["input_ids"], sentence
    assert ours.decode(ids) == peer.decode(ids, skip_special_tokens=True)
    assert ours.decode(ids, skip_special_tokens=False) == peer.decode(ids)
    turns = [{"role": "user", "content": "x"}]
    assert ours.render_chat(turns) == peer.apply_chat_template(turns, tokenize=False)
    assert all(ours.has_text(token_id) for token_id in ids) == (ours.decode(ids) == peer.decode(ids))


def test_a_special_token_that_the_vocabulary_lacks_is_not_made_up(tmp_path: Path) -> None:
    config = {"pad_token": "[PAD]", "extra_special_tokens": 5, "additional_special_tokens": [5, {}]}
    (byte_folder.make(tmp_path) / "tokenizer_config.json").write_text(json.dumps(config))
    assert max(Tokenizer(tmp_path).encode("[PAD]")) < 256
