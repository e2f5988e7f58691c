"""What the demo models are made from; the key of a model is a hash of all of it."""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

KEY_FILE = "recipe.json"  # the last file to be written into a model's folder
FOLLOWED_BY = ("corpus.py", "tokenizer.py", "train.py", "folder.py")


@dataclass(frozen=True)
class Shape:
    """A Qwen3 transformer with grouped-query attention and tied embeddings."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_position: int = 4096


@dataclass(frozen=True)
class Stage:
    """Some training steps of one length: first many short contexts, then a few long ones."""

    num_steps: int
    context_tokens: int
    num_sequences: int


@dataclass(frozen=True)
class Recipe:
    """One model: its shape, its training, its seed. Work is bounded by steps, so that it repeats."""

    name: str
    shape: Shape
    stages: tuple[Stage, ...]
    vocab_size: int = 2048
    learning_rate: float = 12e-3
    warmup_steps: int = 30
    seed: int = 20

    @property
    def num_steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.num_steps for stage in self.stages)

    @property
    def num_tokens(self) -> int:
        """Tokens read in training, counted each time they are read."""
        return sum(stage.num_steps * stage.num_sequences * stage.context_tokens for stage in self.stages)


DEMO = Recipe(
    name="demo",
    shape=Shape(
        hidden_size=192, intermediate_size=576, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=64
    ),
    stages=(Stage(num_steps=660, context_tokens=128, num_sequences=16), Stage(30, 1024, 2)),
)
DEMO_SMALL = Recipe(
    name="demo-small",
    shape=Shape(
        hidden_size=128, intermediate_size=384, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=32
    ),
    stages=(Stage(num_steps=500, context_tokens=128, num_sequences=16), Stage(30, 1024, 2)),
    learning_rate=16e-3,
)


def key(recipe: Recipe) -> str:
    """Hash of the recipe, of the code that follows it, of the versions that decide on text and numerics."""
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    digest.update(platform.python_version().encode())  # the training text is this interpreter's library
    for package in ("torch", "transformers", "tokenizers"):
        digest.update(metadata.version(package).encode())
    for source in FOLLOWED_BY:
        digest.update(Path(__file__).with_name(source).read_bytes())
    return digest.hexdigest()[:16]


def is_made(recipe: Recipe, models: Path) -> bool:
    """Whether its folder is there, whole, and made from just this recipe."""
    stamp = models / recipe.name / KEY_FILE
    return stamp.exists() and bool(json.loads(stamp.read_text())["key"] == key(recipe))
