"""vLLM's scheduler under the load of `bench.scheduler`, which runs this file with the Python that has vLLM.

Reads how many sequences run, one number a line, and answers each with microseconds per sequence and step.
Written for vLLM 0.32.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VOCAB_SIZE = 32_000
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "max_position_embeddings": 131_072,
    "vocab_size": VOCAB_SIZE,
    "torch_dtype": "float32",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("steps", "prompt-tokens", "page-tokens"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    answers = sys.stdout
    sys.stdout = sys.stderr  # vLLM logs to it
    for line in sys.stdin:
        answers.write(f"{_round_us(int(line), options)}\n")
        answers.flush()


def _round_us(size: int, options: argparse.Namespace) -> float:
    from vllm.v1.outputs import ModelRunnerOutput

    scheduler, names = _filled(size, options)
    steps: int = options.steps
    output = ModelRunnerOutput(
        req_ids=names,
        req_id_to_index={name: index for index, name in enumerate(names)},
        sampled_token_ids=[[VOCAB_SIZE - 1]] * size,
    )
    _step(scheduler, output)  # the prompts
    started_at = time.process_time()
    for _ in range(steps):
        _step(scheduler, output)
    return (time.process_time() - started_at) * 1e6 / (size * steps)


def _step(scheduler: Any, output: Any) -> None:
    scheduled = scheduler.schedule()
    if len(scheduled.num_scheduled_tokens) != len(output.req_ids):
        raise RuntimeError(f"{len(scheduled.num_scheduled_tokens)} of {len(output.req_ids)} sequences decode")
    scheduler.update_from_output(scheduled, output)


def _filled(size: int, options: argparse.Namespace) -> tuple[Any, list[str]]:
    """As `bench.scheduler._filled` does it."""
    import torch
    from vllm.engine.arg_utils import EngineArgs
    from vllm.sampling_params import SamplingParams
    from vllm.utils.hashing import sha256
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.request import Request
    from vllm.v1.structured_output import StructuredOutputManager

    length = options.prompt_tokens + options.steps + 2
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(MODEL))
        config = EngineArgs(
            model=folder,
            skip_tokenizer_init=True,
            max_model_len=2 * length,
            max_num_batched_tokens=max(size * options.prompt_tokens, 2 * length),
            max_num_seqs=size,
            block_size=options.page_tokens,
            enable_prefix_caching=True,
            async_scheduling=False,
            dtype="float32",
        ).create_engine_config()
    num_pages = size * (length // options.page_tokens + 1) + 1  # vLLM keeps one to itself
    config.cache_config.num_gpu_blocks = num_pages
    spec = FullAttentionSpec(
        block_size=options.page_tokens, num_kv_heads=1, head_size=64, dtype=torch.float32
    )
    init_none_hash(sha256)
    hasher = get_request_block_hasher(options.page_tokens, sha256)
    scheduler = Scheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(
            num_blocks=num_pages,
            kv_cache_tensors=[],
            kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
        ),
        structured_output_manager=StructuredOutputManager(config),
        block_size=options.page_tokens,
        hash_block_size=options.page_tokens,
    )
    params = SamplingParams(max_tokens=length, ignore_eos=True)
    params.update_from_generation_config({}, 0)
    names = [f"r{number}" for number in range(size)]
    for number, name in enumerate(names):
        prompt = [(number + position) % VOCAB_SIZE for position in range(options.prompt_tokens)]
        scheduler.add_request(Request(name, prompt, params, None, block_hasher=hasher))
    return scheduler, names


if __name__ == "__main__":
    main()
