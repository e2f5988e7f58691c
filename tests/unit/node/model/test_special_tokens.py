"""Where the special tokens stand that a chat template names."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import byte_folder

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
