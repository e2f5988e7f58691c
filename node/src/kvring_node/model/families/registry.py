"""All families, by the name in `architectures` of config.json."""

from kvring_node.model.families.family import Family
from kvring_node.model.families.gemma import GEMMA
from kvring_node.model.families.llama import LLAMA
from kvring_node.model.families.mistral import MISTRAL
from kvring_node.model.families.phi3 import PHI3
from kvring_node.model.families.qwen2 import QWEN2
from kvring_node.model.families.qwen3 import QWEN3

FAMILIES: dict[str, Family] = {
    "GemmaForCausalLM": GEMMA,
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": MISTRAL,
    "Phi3ForCausalLM": PHI3,
    "Qwen2ForCausalLM": QWEN2,
    "Qwen3ForCausalLM": QWEN3,
}
