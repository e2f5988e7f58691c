"""The whole way from the standard library's sources to model folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev import alone, progress
from dev.model import corpus, folder, tokenizer, train
from dev.model import recipe as recipes
from dev.model.recipe import Recipe
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging


@dataclass(frozen=True)
class Material:
    """What all models share: the tokenizer, the tokens to learn from, the tokens to be judged by."""

    words: PreTrainedTokenizerFast
    train: Tensor
    held_out: Tensor


def all_missing(wanted: Sequence[Recipe], models: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Makes what is absent from `models` or was made from another recipe; returns the folders made."""
    with alone.holding(models / ".lock"):
        models.chmod(models.stat().st_mode | 0o055)  # pods run under a user id of their own
        missing = [recipe for recipe in wanted if force or not recipes.is_made(recipe, models)]
        if not missing:
            return ()
        with progress.step("read the Python standard library, train the tokenizer"):
            shared = material(corpus.read(), missing[0])
        for recipe in missing:
            one(recipe, shared, models)
        return tuple(models / recipe.name for recipe in missing)


def material(texts: corpus.Corpus, recipe: Recipe) -> Material:
    """Tokenizer and tokens; recipes with the same vocabulary share them."""
    documents = train.documents(texts.train, recipe.seed)
    words = tokenizer.train(documents, recipe.vocab_size, recipe.shape.max_position)
    return Material(
        words=words,
        train=train.stream(documents, words),
        held_out=train.stream(train.documents(texts.held_out, recipe.seed), words),
    )


def one(recipe: Recipe, shared: Material, models: Path) -> float:
    """Trains one model and writes its folder; returns its held-out loss in nats a token."""
    key = recipes.key(recipe)
    with progress.step(f"train model {recipe.name}") as step:

        def report(done: int, loss: float) -> None:
            step.note(f"step {done} of {recipe.num_steps}, loss {loss:.2f}")

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ours says how far it is
        model = train.train(recipe, shared.words, shared.train, report)
        loss = train.held_out_loss(model, shared.held_out)
        folder.write(models / recipe.name, recipe, key, model, shared.words, loss)
        step.note(f"{recipe.num_steps} steps, held-out loss {loss:.3f}")
    return loss
