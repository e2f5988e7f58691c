"""Teaches a small Qwen3 to continue Python: Muon for the matrices, AdamW for the rest."""

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
    model.set_attn_implementation("eager")  # the fused one has a slow gradient on short contexts
    model.train()
    optimizers = _optimizers(model)
    has_bf16 = torch.cpu.get_capabilities().get("avx512_bf16", False)  # elsewhere it is emulated: slow
    for step, batch in enumerate(windows(recipe, stream, words, draw)):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16):
            loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        report(step + 1, loss.item())
    return model


def documents(texts: Sequence[str], seed: int) -> list[str]:
    """Sources, their functions alone, and lessons, in a shuffled order."""
    written = []
    for text in texts:
        written.append(corpus.module(text))
        for lesson in corpus.lessons(text):
            written.append(lesson.answer)
            if lesson.question:
                written.append(tokenizer.as_chat(lesson))
    random.Random(seed).shuffle(written)
    return written


def stream(texts: Sequence[str], words: PreTrainedTokenizerFast) -> Tensor:
    """Texts as one long row of tokens."""
    encoded = words.backend_tokenizer.encode_batch([text + tokenizer.END_OF_TEXT for text in texts])
    return torch.tensor([token for text in encoded for token in text.ids])


def windows(
    recipe: Recipe, stream: Tensor, words: PreTrainedTokenizerFast, draw: torch.Generator
) -> Iterator[Tensor]:
    """Batches of windows, each beginning as a prompt would: with a line that is not indented."""
    begins = _unindented(stream, words)
    for stage in recipe.stages:
        starts = begins[begins <= len(stream) - stage.context_tokens]
        for _ in range(stage.num_steps):
            drawn = starts[torch.randint(len(starts), (stage.num_sequences,), generator=draw)]
            yield torch.stack([stream[start : start + stage.context_tokens] for start in drawn])


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


def _unindented(stream: Tensor, words: PreTrainedTokenizerFast) -> Tensor:
    """Where in the stream unindented lines begin."""
    decode = words.backend_tokenizer.decode
    pieces = [decode([token], skip_special_tokens=False) for token in range(len(words))]
    edge = tokenizer.END_OF_TEXT
    ends_line = torch.tensor([piece == edge or piece.endswith("\n") for piece in pieces])
    begins_line = torch.tensor([piece != edge and not piece.isspace() for piece in pieces])
    return 1 + torch.nonzero(ends_line[stream[:-1]] & begins_line[stream[1:]]).flatten()


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a straight line down to nothing."""
    return min((step + 1) / recipe.warmup_steps, 1 - step / recipe.num_steps)
