"""Teaches a small Qwen3 to continue Python: Muon for the matrices, AdamW for the rest."""

import math
import random
from collections.abc import Callable, Iterator, Sequence

import torch
from dev.model import corpus, tokenizer
from dev.model.recipe import Recipe
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

JUDGED_TOKENS = 256  # length of the held-out windows
NUM_JUDGED = 32


def train(
    recipe: Recipe, words: PreTrainedTokenizerFast, stream: Tensor, report: Callable[[int, float], None]
) -> Qwen3ForCausalLM:
    """Trains on random windows of a row of tokens; calls report(step, loss) after each step."""
    torch.manual_seed(recipe.seed)
    draw = torch.Generator().manual_seed(recipe.seed)
    model = Qwen3ForCausalLM(_config(recipe, words))
    model.train()
    optimizers = _optimizers(model)
    for step, windows in enumerate(_windows(recipe, stream, draw)):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        loss = model(input_ids=windows, labels=windows, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        report(step + 1, loss.item())
    return model


def stream(texts: Sequence[str], words: PreTrainedTokenizerFast, seed: int) -> Tensor:
    """Sources and lessons in a shuffled order as one long row of tokens."""
    documents = [text + tokenizer.END_OF_TEXT for text in texts]
    documents += [
        tokenizer.as_chat(lesson) + tokenizer.END_OF_TEXT for text in texts for lesson in corpus.lessons(text)
    ]
    random.Random(seed).shuffle(documents)
    encoded = words.backend_tokenizer.encode_batch(documents)
    return torch.tensor([token for document in encoded for token in document.ids])


@torch.inference_mode()
def held_out_loss(model: Qwen3ForCausalLM, tokens: Tensor) -> float:
    """Mean cross-entropy, in nats a token, on evenly spaced windows the model has never seen."""
    starts = torch.linspace(0, len(tokens) - JUDGED_TOKENS, NUM_JUDGED).long()
    windows = torch.stack([tokens[start : start + JUDGED_TOKENS] for start in starts])
    return float(model(input_ids=windows, labels=windows, use_cache=False).loss)


def _config(recipe: Recipe, words: PreTrainedTokenizerFast) -> Qwen3Config:
    shape = recipe.shape
    return Qwen3Config(
        vocab_size=recipe.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_position,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        dtype="float32",
    )


def _optimizers(model: Qwen3ForCausalLM) -> tuple[Optimizer, Optimizer]:
    """Muon learns from far fewer tokens than AdamW, but is meant for hidden matrices only."""
    named = list(model.named_parameters())
    hidden = [weights for name, weights in named if weights.ndim == 2 and "embed" not in name]
    others = [weights for name, weights in named if weights.ndim != 2 or "embed" in name]
    return (
        Muon(hidden, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        AdamW(others, betas=(0.9, 0.95), weight_decay=0.0),
    )


def _windows(recipe: Recipe, stream: Tensor, draw: torch.Generator) -> Iterator[Tensor]:
    for stage in recipe.stages:
        for _ in range(stage.num_steps):
            starts = torch.randint(len(stream) - stage.context_tokens, (stage.num_sequences,), generator=draw)
            yield torch.stack([stream[start : start + stage.context_tokens] for start in starts])


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to a twentieth."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps)
    done = step / recipe.num_steps
    return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
