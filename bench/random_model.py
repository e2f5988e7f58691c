"""Random models of well-known shapes, for benches: `python -m bench.random_model SHAPE DIR`."""

import argparse
from pathlib import Path

import torch
import transformers
from tests.support import tiny_models

SHAPES = {
    "qwen3-7m": transformers.Qwen3Config(
        vocab_size=8192,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=0,
        initializer_range=0.1,
    ),
    "llama-7m": transformers.LlamaConfig(
        vocab_size=8192,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=0,
        initializer_range=0.1,
    ),
    "llama-28m": transformers.LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=0,
        initializer_range=0.05,
    ),
}


def make(shape: str, folder: Path) -> None:
    """Saves weights, config, and a tokenizer of bytes."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(SHAPES[shape])
    model.save_pretrained(folder)
    tiny_models.byte_tokenizer().save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    make(arguments.shape, arguments.folder)
    print(arguments.folder)
