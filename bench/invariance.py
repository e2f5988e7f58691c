"""What batch-invariant logits cost: `python -m bench.invariance --model DIR --dtype bfloat16`.

The same engine without and with `batch_invariant`, in turns, on random prompts that decode greedily, all at
once. In float32 on a CPU the compiled kernels are invariant as they are, and the switch changes nothing.

Progress goes to standard error. The last line of standard output is one JSON object:

  tokens_per_s   of "plain" and "invariant": tokens of answers a second; median, min, max of the rounds
  ratio          plain through invariant: how much faster the engine is without the switch
  equal          answers that are the same with it; others may differ, which is what the switch is for

The exit status is 2 when it cannot be done as asked, 130 when interrupted.
"""

import argparse
import json

import torch
from bench import arguments, throughput
from bench.contest import ours, peak, workload
from bench.contest.contestant import Absent, Contestant
from bench.contest.workload import Limits, Unfit

from kvring_node import settings
from kvring_node.model import config as model_config


def main() -> int:
    """Parses, runs, prints."""
    options = _options()
    engines = {
        name: ours.load(
            options.model,
            device=options.device,
            dtype=options.dtype,
            num_threads=options.threads,
            kv_bytes=options.cache_bytes,
            batch_invariant=is_invariant,
        )
        for name, is_invariant in (("plain", False), ("invariant", True))
    }
    loaded = engines["plain"].loaded
    clock = peak.clock(options.clock, loaded.device)
    try:
        rounds = workload.rounds(
            Limits(model_config.read(options.model).vocab_size, loaded.max_model_len),
            options.num_requests,
            options.prompt_tokens,
            options.max_tokens,
            options.seed,
            options.rounds,
        )
        contestants: dict[str, Contestant] = {name: ours.Ours(engine) for name, engine in engines.items()}
        result, _ = throughput.compare(contestants, rounds, lambda _: clock())
    except (Absent, Unfit) as error:
        arguments.refuse(str(error))
    told = {
        "device": loaded.device,
        "dtype": options.dtype,
        "threads": options.threads,
        "clock": options.clock,
    }
    print(json.dumps({"bench": "invariance"} | result | told))
    return 0


def _options() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    add, count = parser.add_argument, arguments.count
    add("--model", type=ours.folder, required=True, help="folder in Hugging Face layout")
    add(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="bfloat16",
        help="of both (default bfloat16)",
    )
    add("--device", choices=("cpu", "cuda"), default="cpu", help="of both (default cpu)")
    add("--num-requests", type=count, default=16, help="a round (default 16)")
    add(
        "--prompt-tokens",
        type=count,
        nargs=2,
        default=(16, 128),
        metavar=("MIN", "MAX"),
        help="least and most of a prompt (default 16 128)",
    )
    add("--max-tokens", type=count, default=16, help="of an answer (default 16)")
    add(
        "--cache-bytes",
        type=settings.size_bytes,
        default=1 << 30,
        metavar="SIZE",
        help="for the pages of each of the two: bytes, or like 512Mi (default 1Gi)",
    )
    add("--rounds", type=count, default=3, help="turns of each (default 3)")
    add("--seed", type=arguments.whole, default=0, help="of the first round's prompts (default 0)")
    add("--threads", type=count, default=torch.get_num_threads(), help="of the CPU (default: as torch finds)")
    add(
        "--clock",
        choices=sorted(peak.CLOCKS),
        default="wall",
        help="seconds of which (default wall); cpu not with a GPU",
    )
    return parser.parse_args()


if __name__ == "__main__":
    arguments.run(main)
