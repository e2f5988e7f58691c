"""Loading takes no second copy of the weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

PROGRAM = """
import json, sys, threading, time
from pathlib import Path
import torch
from kvring_node import loading
from kvring_node.engine.options import EngineOptions
from kvring_node.model import config

def anonymous():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) * 1024

folder = sys.argv[1]
options = EngineOptions(model=folder, dtype="float32", device="cpu", kv_bytes=4 << 20, max_model_len=64)
peak = before = anonymous()
loaded = []

def load():
    loaded.append(loading.load(options, config.read(Path(folder))))

thread = threading.Thread(target=load)
thread.start()
while thread.is_alive():
    peak = max(peak, anonymous())
    thread.join(0.002)
assert loaded
print(json.dumps({"peak": peak - before, "after": anonymous() - before}))
"""


@pytest.mark.parametrize(
    ("dtype", "vocab_size", "is_tied"),
    [(torch.float32, 512, False), (torch.bfloat16, 512, False), (torch.bfloat16, 32768, True)],
)
def test_the_peak_of_loading_is_about_the_model_itself(
    dtype: torch.dtype, vocab_size: int, is_tied: bool, tmp_path: Path
) -> None:
    config = transformers.LlamaConfig(
        vocab_size=vocab_size,
        tie_word_embeddings=is_tied,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=8,
        architectures=["LlamaForCausalLM"],
        dtype=str(dtype).removeprefix("torch."),
    )
    with torch.device("meta"):
        shapes = transformers.LlamaForCausalLM(config).state_dict()
    if is_tied:
        del shapes["lm_head.weight"]
    tensors = {name: torch.full(one.shape, 0.5, dtype=dtype) for name, one in shapes.items()}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config.to_json_string(use_diff=False))
    as_float32 = sum(tensor.numel() * 4 for tensor in tensors.values())
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    measured = json.loads(printed)
    assert measured["peak"] < 1.25 * as_float32
    assert measured["after"] < 1.1 * as_float32
