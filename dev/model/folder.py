"""Writes a model as a folder in Hugging Face's layout, and puts it in place in one move."""

import json
import shutil
from pathlib import Path

from dev.model import recipe as recipes
from dev.model import tokenizer
from dev.model.recipe import Recipe
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

CARD = """# {name}

A toy: a Qwen3-shaped transformer of {millions:.1f} million parameters that continues Python, so that kvring
can be tried without a download. It knows nothing. `python -m dev.model` made it in a few minutes on a CPU
from the sources of the local Python standard library (Python Software Foundation License).

| | |
| --- | --- |
| training | {num_steps} steps, {trained_tokens} tokens, seed {seed} |
| held-out loss | {loss:.3f} nats a token |
| tokenizer | byte-level BPE, {vocab_size} tokens |
| longest context | {max_position} tokens |
"""


def write(
    folder: Path,
    recipe: Recipe,
    key: str,
    model: Qwen3ForCausalLM,
    words: PreTrainedTokenizerFast,
    loss: float,
) -> None:
    """Writes beside the folder and renames: a reader sees the old model or the new one, never half of one."""
    fresh = folder.with_name(f".{folder.name}.new")
    old = folder.with_name(f".{folder.name}.old")
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    fresh.mkdir(parents=True)
    model.generation_config.eos_token_id = words.convert_tokens_to_ids(
        [tokenizer.TURN_END, tokenizer.END_OF_TEXT]
    )
    model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(fresh)
    words.save_pretrained(fresh, save_jinja_files=False)
    card = CARD.format(
        name=recipe.name,
        millions=model.num_parameters() / 1e6,
        num_steps=recipe.num_steps,
        trained_tokens=recipe.num_tokens,
        seed=recipe.seed,
        loss=loss,
        vocab_size=recipe.vocab_size,
        max_position=recipe.shape.max_position,
    )
    (fresh / "README.md").write_text(card)
    (fresh / recipes.KEY_FILE).write_text(json.dumps({"key": key, "held_out_loss": loss}) + "\n")
    _let_everybody_read(fresh)  # pods run under a user id of their own
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _let_everybody_read(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
