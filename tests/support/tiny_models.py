"""Random models in Hugging Face layout, made on the spot and equal for equal arguments."""

import copy
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers

VOCAB_SIZE = 300
EOS = 299

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

COMMON: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "pad_token_id": None,
    "eos_token_id": EOS,
    "initializer_range": 0.3,  # large, or every continuation of a random model is the same
}


KINDS: dict[str, tuple[type[transformers.PreTrainedConfig], type[transformers.PreTrainedModel]]] = {
    "gemma": (transformers.GemmaConfig, transformers.GemmaForCausalLM),
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    "phi3": (transformers.Phi3Config, transformers.Phi3ForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
}


def make(kind: str, folder: Path, seed: int = 0, **overrides: Any) -> transformers.PreTrainedModel:
    """Saves a tiny random model of one of `KINDS` in `folder` and returns it."""
    config, model = KINDS[kind]
    own = copy.deepcopy(overrides)  # a config keeps the dicts that it is given, and writes to them
    return _save(model, config(**{**COMMON, **own}), folder, seed)


def llama(folder: Path, seed: int = 0, **overrides: Any) -> transformers.PreTrainedModel:
    """Saves a tiny random Llama in `folder` and returns it."""
    return make("llama", folder, seed, **overrides)


def qwen3(folder: Path, seed: int = 0, **overrides: Any) -> transformers.PreTrainedModel:
    """Saves a tiny random Qwen3 in `folder` and returns it."""
    return make("qwen3", folder, seed, **overrides)


def byte_tokenizer() -> tokenizers.Tokenizer:
    """256 bytes, no merges: token ids are bytes in a shuffled order, and the last id is the end of text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([f"<extra_{i}>" for i in range(EOS - len(alphabet))])
    tokenizer.add_special_tokens(["<|end|>"])
    return tokenizer


def _save(
    kind: type[transformers.PreTrainedModel], config: transformers.PreTrainedConfig, folder: Path, seed: int
) -> transformers.PreTrainedModel:
    torch.manual_seed(seed)
    model: transformers.PreTrainedModel = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:  # all the same would hide a norm that is applied to the wrong heads
                parameter.add_(torch.rand_like(parameter) - 0.5)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_tokenizer(), eos_token="<|end|>", chat_template=CHAT_TEMPLATE
    )
    fast.save_pretrained(folder)
    return model
