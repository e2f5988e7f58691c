import ast
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dev.model import corpus, make, tokenizer, train
from dev.model import recipe as recipes
from transformers import AutoModelForCausalLM, AutoTokenizer

TINY = recipes.Recipe(
    name="tiny",
    shape=recipes.Shape(
        hidden_size=32,
        intermediate_size=64,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=32,
        max_position=512,
    ),
    stages=(recipes.Stage(num_steps=8, context_tokens=64, num_sequences=2), recipes.Stage(2, 128, 1)),
    vocab_size=320,
    warmup_steps=2,
)
SOURCE = '''
"""Things upon things."""

class Stack:
    # not a queue
    def push(self, item):
        """Put an item on top."""
        self.items.append(item)
'''


@pytest.fixture(scope="module")
def texts() -> corpus.Corpus:
    """A few files of the library: enough to learn from, quick to read."""
    return corpus.read(Path(torch.__file__).parent / "utils" / "tensorboard")


@pytest.fixture(scope="module")
def shared(texts: corpus.Corpus) -> make.Material:
    """Tokenizer and tokens of the tiny recipe."""
    return make.material(texts, TINY)


def test_a_small_budget_gives_a_folder_that_transformers_loads(shared: make.Material, tmp_path: Path) -> None:
    make.one(TINY, shared, tmp_path)

    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    words = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    tokens = torch.tensor([words("def push(self")["input_ids"]])

    assert model.config.model_type == "qwen3"
    assert model.generate(tokens, max_new_tokens=3, do_sample=False).shape[1] <= tokens.shape[1] + 3
    assert words.eos_token_id in model.generation_config.eos_token_id


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(
    texts: corpus.Corpus, tmp_path: Path
) -> None:
    def weights(name: str, seed: int) -> bytes:
        recipe = replace(TINY, name=name, seed=seed)
        make.one(recipe, make.material(texts, recipe), tmp_path)
        return (tmp_path / name / "model.safetensors").read_bytes()

    first = weights("first", seed=1)

    assert first == weights("again", seed=1)
    assert first != weights("other", seed=2)


def test_training_lowers_the_loss_on_text_the_model_has_not_seen(
    shared: make.Material, tmp_path: Path
) -> None:
    longer = replace(
        TINY, name="longer", stages=(recipes.Stage(num_steps=60, context_tokens=64, num_sequences=2),)
    )

    assert make.one(longer, shared, tmp_path) < make.one(TINY, shared, tmp_path)


def test_a_model_that_is_there_is_not_made_again_until_its_recipe_changes(
    shared: make.Material, tmp_path: Path
) -> None:
    make.one(TINY, shared, tmp_path)

    assert make.all_missing([TINY], tmp_path) == ()
    assert not recipes.is_made(replace(TINY, seed=TINY.seed + 1), tmp_path)


def test_pods_of_another_user_can_read_every_file(shared: make.Material, tmp_path: Path) -> None:
    models = tmp_path / "models"
    ours = os.umask(0o077)
    try:
        make.one(TINY, shared, models)
        make.all_missing([TINY], models)
    finally:
        os.umask(ours)

    assert all(path.stat().st_mode & 0o004 for path in (models / "tiny").iterdir())
    assert models.stat().st_mode & 0o005 == 0o005, "it is mounted as it is"


def test_any_text_survives_the_tokenizer(shared: make.Material) -> None:
    words = shared.words

    for text in ("def f():\n\treturn 1\r\n", "naïve 🐍 – ∑ \x00\x7f", "  spaces   and\n\n\nlines  "):
        assert words.decode(words(text)["input_ids"]) == text


def test_a_lesson_reads_as_the_chat_template_prints_it(shared: make.Material) -> None:
    words = shared.words
    (lesson,) = corpus.lessons(SOURCE)

    turns = [{"role": "user", "content": lesson.question}, {"role": "assistant", "content": lesson.answer}]

    assert lesson.question == "Write push: Put an item on top."
    assert lesson.answer == "def push(self, item):\n    self.items.append(item)\n"
    assert tokenizer.as_chat(lesson) == words.apply_chat_template(turns, tokenize=False)


def test_a_source_is_learnt_without_its_comments_docstrings_and_tables() -> None:
    table = f"CODES = {list(range(99))}\n"

    assert corpus.module(SOURCE + table) == (
        "class Stack:\n\n    def push(self, item):\n        self.items.append(item)\n"
    )


def test_a_source_of_nothing_but_words_stays_a_program() -> None:
    ast.parse(corpus.module('def later():\n    """Says when."""'))


def test_every_window_begins_with_an_unindented_line(shared: make.Material) -> None:
    decode = shared.words.backend_tokenizer.decode
    text = decode(shared.train.tolist(), skip_special_tokens=False).replace(tokenizer.END_OF_TEXT, "\n")

    for batch in train.windows(TINY, shared.train, shared.words, torch.Generator().manual_seed(1)):
        for window in batch:
            line = decode(window.tolist(), skip_special_tokens=False).partition("\n")[0]
            assert line[0] != " "
            assert f"\n{line}" in text
