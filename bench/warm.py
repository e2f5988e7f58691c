"""A shared prefix, cold and warm, through the real engine: `python -m bench.warm --model DIR`.

Each round asks a prompt of its own after the prefix twice: when nothing is known (the peer: the engine with
its pages forgotten), and when another prompt has just left the prefix's pages behind. Greedy tokens must be
equal; the exit status is 1 when they are not. The last line printed is one JSON object. On a machine with
noisy neighbours, `--clock cpu --threads 1` counts only the time in which this process computed.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.throughput import CLOCKS

from kvring_node import assembly
from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit


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
        sys.exit(refused.message)
    token_ids: list[int] = []
    first_s = num_cached_tokens = 0.0
    while engine.has_work:
        for message in engine.step():
            first_s = first_s or clock() - began_at
            token_ids += message.token_ids
            num_cached_tokens = message.num_cached_tokens
    return Answer(token_ids, int(num_cached_tokens), first_s, clock() - began_at)


def measure(engine: Engine, arguments: argparse.Namespace, vocab_size: int) -> dict[str, Any]:
    """Cold and warm in turns, after one round to warm up."""
    clock, rng = CLOCKS[arguments.clock], np.random.default_rng(arguments.seed)

    def some(count: int) -> list[int]:
        drawn: list[int] = rng.integers(1, vocab_size, count).tolist()
        return drawn

    prefix = some(arguments.prefix_tokens)
    cold: list[Answer] = []
    warm: list[Answer] = []
    for number in range(arguments.rounds + 1):
        prompt, other = prefix + some(arguments.own_tokens), prefix + some(arguments.own_tokens)
        engine.forget_prefixes()
        cold.append(ask(engine, prompt, arguments.max_tokens, clock))
        engine.forget_prefixes()
        ask(engine, other, 1, clock)
        warm.append(ask(engine, prompt, arguments.max_tokens, clock))
        if number:
            print(
                f"cold {cold[-1].whole_s * 1e3:8.1f} ms   warm {warm[-1].whole_s * 1e3:8.1f} ms", flush=True
            )
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder in Hugging Face layout")
    parser.add_argument("--prefix-tokens", type=int, default=2048)
    parser.add_argument("--own-tokens", type=int, default=16, help="of each prompt after the prefix (16)")
    parser.add_argument("--max-tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    engine = assembly.load_engine(
        arguments.model, device=arguments.device, dtype=arguments.dtype, num_threads=arguments.threads
    )
    vocab_size = json.loads((arguments.model / "config.json").read_text())["vocab_size"]
    result = measure(engine, arguments, vocab_size)
    print(json.dumps(result))
    return 0 if result["equal"] == result["of"] else 1


if __name__ == "__main__":
    sys.exit(main())
