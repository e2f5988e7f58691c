"""A shared prefix, cold and warm, through the real engine: `python -m bench.warm --model DIR`.

Each round asks a prompt of its own after the prefix twice: when nothing is known (the peer: the engine with
its pages forgotten), and when another prompt has just left the prefix's pages behind. Prompts are random, one
request at a time, greedy and past the end of text. On a machine with noisy neighbours, `--clock cpu --threads
1` counts only the time in which this process computed.

Progress goes to standard error. The last line of standard output is one JSON object; medians of the rounds:

  cold_first_ms, warm_first_ms   milliseconds until the first token
  cold_whole_ms, warm_whole_ms   until the last
  ratio, ratio_first_token       cold through warm, of the whole answer and of its first token
  cached_tokens                  how many of the prompt's were found in the last round, cold and warm
  equal, of                      rounds, with the one to warm up, whose tokens were the same cold and warm

The exit status is 1 when tokens differ (in float32 they must not; in halves rounding may make it so), 2 when
it cannot be done as asked, 130 when interrupted.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench import arguments
from bench.contest import ours, peak

from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit
from kvring_node.model import config as model_config


@dataclass(frozen=True)
class Answer:
    """Tokens, how many of the prompt's were found, and seconds until the first and the last."""

    token_ids: list[int]
    num_cached_tokens: int
    first_s: float
    whole_s: float


def ask(engine: Engine, prompt: list[int], max_tokens: int, clock: Callable[[], float]) -> Answer:
    """One greedy request, alone."""
    params = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
    began_at = clock()
    refused = engine.add(Submit("bench", prompt, params))
    if refused is not None:
        arguments.refuse(refused.message)
    token_ids: list[int] = []
    first_s = num_cached_tokens = 0.0
    while engine.has_work:
        for message in engine.step():
            first_s = first_s or clock() - began_at
            token_ids += message.token_ids
            num_cached_tokens = message.num_cached_tokens
    return Answer(token_ids, int(num_cached_tokens), first_s, clock() - began_at)


def measure(engine: Engine, options: argparse.Namespace, vocab_size: int) -> dict[str, Any]:
    """Cold and warm in turns, after one round to warm up."""
    clock = peak.clock(options.clock, engine.loaded.device)
    rng = np.random.default_rng(options.seed)

    def some(count: int) -> list[int]:
        drawn: list[int] = rng.integers(1, vocab_size, count).tolist()
        return drawn

    prefix = some(options.prefix_tokens)
    cold: list[Answer] = []
    warm: list[Answer] = []
    for number in range(options.rounds + 1):
        prompt, other = prefix + some(options.own_tokens), prefix + some(options.own_tokens)
        engine.forget_prefixes()
        cold.append(ask(engine, prompt, options.max_tokens, clock))
        engine.forget_prefixes()
        ask(engine, other, 1, clock)
        warm.append(ask(engine, prompt, options.max_tokens, clock))
        if number:
            arguments.tell(f"cold {cold[-1].whole_s * 1e3:8.1f} ms   warm {warm[-1].whole_s * 1e3:8.1f} ms")
    figures = {
        f"{which}_{name}_ms": statistics.median(getattr(answer, f"{name}_s") for answer in answers[1:]) * 1e3
        for which, answers in (("cold", cold), ("warm", warm))
        for name in ("first", "whole")
    }
    return {
        "bench": "warm",
        **{name: round(value, 2) for name, value in figures.items()},
        "ratio": round(figures["cold_whole_ms"] / figures["warm_whole_ms"], 2),
        "ratio_first_token": round(figures["cold_first_ms"] / figures["warm_first_ms"], 2),
        "cached_tokens": [cold[-1].num_cached_tokens, warm[-1].num_cached_tokens],
        "equal": sum(a.token_ids == b.token_ids for a, b in zip(cold, warm, strict=True)),
        "of": len(cold),
    }


def main() -> int:
    """Parses, measures, prints."""
    options = _options()
    engine = ours.load(options.model, device=options.device, dtype=options.dtype, num_threads=options.threads)
    num_in, longest = options.prefix_tokens + options.own_tokens, engine.loaded.max_model_len
    if num_in + options.max_tokens > longest:
        arguments.refuse(
            f"{num_in} tokens in and {options.max_tokens} out are more than the {longest} that the model and "
            "its cache hold; give a lesser --prefix-tokens"
        )
    result = measure(engine, options, model_config.read(options.model).vocab_size)
    print(json.dumps(result))
    return 0 if result["equal"] == result["of"] else 1


def _options() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    add, count = parser.add_argument, arguments.count
    add("--model", type=ours.folder, required=True, help="folder in Hugging Face layout")
    add("--prefix-tokens", type=count, default=2048, help="that all prompts share (default 2048)")
    add("--own-tokens", type=count, default=16, help="of each prompt after the prefix (default 16)")
    add("--max-tokens", type=count, default=8, help="of an answer (default 8)")
    add("--rounds", type=count, default=7, help="counted, after one to warm up (default 7)")
    add("--threads", type=count, help="of the CPU (default: as torch finds)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if there is one")
    add(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="default auto: the model's",
    )
    add(
        "--clock",
        choices=sorted(peak.CLOCKS),
        default="wall",
        help="seconds of which (default wall); cpu not with a GPU",
    )
    add("--seed", type=arguments.whole, default=0, help="of the random prompts (default 0)")
    return parser.parse_args()


if __name__ == "__main__":
    arguments.run(main)
