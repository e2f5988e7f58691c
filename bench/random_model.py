"""Random models of well-known shapes, for benches: `python -m bench.random_model SHAPE DIR`.

Weights in float32 from a fixed seed, and a tokenizer with a token a byte. The last line is the folder.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from bench import arguments
from tests.support import tiny_models

COMMON: dict[str, Any] = {
    "vocab_size": 8192,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "eos_token_id": 0,
    "initializer_range": 0.1,
}
SMALL: dict[str, Any] = {**COMMON, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6}

SHAPES: dict[str, transformers.PreTrainedConfig] = {
    "qwen3-7m": transformers.Qwen3Config(**SMALL, head_dim=32),
    "qwen2-7m": transformers.Qwen2Config(**SMALL),
    "mistral-7m": transformers.MistralConfig(**SMALL, sliding_window=128),
    "llama-7m": transformers.LlamaConfig(**SMALL),
    "llama-28m": transformers.LlamaConfig(
        **{**COMMON, "initializer_range": 0.05},
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
    ),
}


def make(shape: str, folder: Path) -> None:
    """Saves weights, config, and a tokenizer of bytes."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(SHAPES[shape])
    model.save_pretrained(folder)
    tiny_models.byte_tokenizer().save(str(folder / "tokenizer.json"))


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("shape", choices=sorted(SHAPES), help="family and number of parameters")
    parser.add_argument("folder", type=Path, help="where it goes; what is there is overwritten")
    given = parser.parse_args()
    if given.folder.is_file():
        parser.error(f"{given.folder} is a file")
    try:
        make(given.shape, given.folder)
    except OSError as error:
        arguments.refuse(f"{given.folder} cannot be written ({error.strerror}); name another folder")
    print(given.folder)


if __name__ == "__main__":
    arguments.run(main)
