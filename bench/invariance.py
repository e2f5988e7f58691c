"""What batch-invariant logits cost: `python -m bench.invariance --model DIR --dtype bfloat16`.

The same engine without and with `batch_invariant`, in turns, on random prompts that decode greedily. The last
line is one JSON object; its ratio is how much faster the engine is without. In float32 on a CPU the compiled
kernels are invariant as they are, and the switch changes nothing.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from bench import throughput
from bench.contest import local, peak, workload

from kvring_node import assembly
from kvring_node.model import config as model_config


def main() -> int:
    """Parses, runs, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder in Hugging Face layout")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--num-requests", type=int, default=16)
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=(16, 128), metavar=("MIN", "MAX"))
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=sorted(peak.CLOCKS), default="wall")
    options = parser.parse_args()

    clock = peak.CLOCKS[options.clock]
    vocab_size = model_config.read(options.model).vocab_size
    lengths = (options.prompt_tokens[0], options.prompt_tokens[1])
    rounds = [
        workload.synthetic(vocab_size, options.num_requests, lengths, options.max_tokens, seed)
        for seed in range(options.seed, options.seed + options.rounds)
    ]
    contestants: dict[str, throughput.Contestant] = {
        name: local.Ours(
            assembly.load_engine(
                options.model, dtype=options.dtype, num_threads=options.threads, batch_invariant=is_invariant
            )
        )
        for name, is_invariant in (("plain", False), ("invariant", True))
    }
    result = throughput.compare(contestants, rounds, lambda _: clock())
    print(json.dumps(result | {"dtype": options.dtype, "threads": options.threads, "clock": options.clock}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
