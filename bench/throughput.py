"""Tokens per second of the engine beside transformers' `generate`, on one model and one list of requests.

`python -m bench.throughput --model DIR --requests synthetic --peers hf-single,hf-padded`

A request file has one JSON object a line: {"prompt": text or list of token ids, "max_tokens": number}.
Everybody decodes greedily and past the end of text; the rounds of the contestants are interleaved. The last
line printed is one JSON object. The exit status is 1 when an answer differs. On a machine with noisy
neighbours, `--clock cpu --threads 1` counts only the time in which this process computed.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from kvring_node import assembly
from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit
from kvring_node.model import tokenizer

PADDED_BATCH = 16
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Request:
    """Token ids in, and how many out."""

    prompt: list[int]
    max_tokens: int


Answers = list[list[int]]


def synthetic(
    vocab_size: int, count: int, lengths: tuple[int, int], max_tokens: int, seed: int
) -> list[Request]:
    """Random prompts with lengths spread evenly over `lengths`."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(lengths[0], lengths[1] + 1, count)
    return [Request(rng.integers(1, vocab_size, size).tolist(), max_tokens) for size in sizes]


def read_requests(path: Path, encode: Callable[[str], list[int]]) -> list[Request]:
    """One request a line."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [
        Request(encode(row["prompt"]) if isinstance(row["prompt"], str) else row["prompt"], row["max_tokens"])
        for row in rows
    ]


def run_engine(engine: Engine, requests: list[Request]) -> Answers:
    """All requests at once, through the engine's own steps, none of them seen before."""
    engine.forget_prefixes()
    answers: Answers = [[] for _ in requests]
    for index, request in enumerate(requests):
        params = SamplingParams(max_tokens=request.max_tokens, temperature=0, ignore_eos=True)
        refused = engine.add(Submit(str(index), request.prompt, params))
        if refused is not None:
            sys.exit(f"request {index}: {refused.message}")
    while engine.has_work:
        for message in engine.step():
            answers[int(message.request_id)] += message.token_ids
    return answers


def run_transformers(model: Any, requests: list[Request], batch_size: int) -> Answers:
    """Batches in order of arrival, padded on the left to their longest prompt."""
    answers: Answers = []
    for first in range(0, len(requests), batch_size):
        batch = requests[first : first + batch_size]
        width = max(len(request.prompt) for request in batch)
        ids = torch.tensor([[0] * (width - len(request.prompt)) + request.prompt for request in batch])
        mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in batch])
        steps = max(request.max_tokens for request in batch)
        output = model.generate(
            ids.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=steps
        )
        answers += [
            row[width : width + request.max_tokens].tolist()
            for row, request in zip(output, batch, strict=True)
        ]
    return answers


def load_transformers(folder: Path, device: str) -> Any:
    """The same weights; greedy, never ending early."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = model.to(device).eval()
    model.generation_config = transformers.GenerationConfig(do_sample=False, pad_token_id=0)
    return model


def compare(
    contestants: dict[str, Callable[[], Answers]],
    num_rounds: int,
    num_tokens: int,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Runs everybody once to warm up, then in turn; rates, ratios, and whose answers differ."""
    first = {name: run() for name, run in contestants.items()}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(num_rounds):
        for name, run in contestants.items():
            started_at = clock()
            run()
            rates[name].append(num_tokens / (clock() - started_at))
            print(f"{name:12} {rates[name][-1]:9.1f} tok/s", flush=True)
    ours = statistics.median(rates["kvring"])
    return {
        "tokens_per_s": {
            name: {"median": round(statistics.median(r), 1), "min": round(min(r), 1), "max": round(max(r), 1)}
            for name, r in rates.items()
        },
        "ratio": {n: round(ours / statistics.median(r), 2) for n, r in rates.items() if n != "kvring"},
        "equal": {
            name: sum(a == b for a, b in zip(first["kvring"], answers, strict=True))
            for name, answers in first.items()
            if name != "kvring"
        },
    }


def main() -> int:
    """Parses, runs, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder in Hugging Face layout")
    parser.add_argument("--requests", default="synthetic", help="a .jsonl file, or synthetic")
    parser.add_argument("--peers", default="hf-single,hf-padded", help="comma-separated; also hf-padded-N")
    parser.add_argument("--num-requests", type=int, default=48, help="of synthetic ones")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=(16, 256), metavar=("MIN", "MAX"))
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--max-num-sequences", type=int, default=64)
    parser.add_argument("--max-batch-tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    engine = assembly.load_engine(
        arguments.model,
        dtype="float32",
        max_num_sequences=arguments.max_num_sequences,
        max_batch_tokens=arguments.max_batch_tokens,
    )
    model = load_transformers(arguments.model, engine.loaded.device)
    requests = (
        synthetic(
            model.config.vocab_size,
            arguments.num_requests,
            tuple(arguments.prompt_tokens),
            arguments.max_tokens,
            arguments.seed,
        )
        if arguments.requests == "synthetic"
        else read_requests(Path(arguments.requests), tokenizer.Tokenizer(arguments.model).encode)
    )
    contestants: dict[str, Callable[[], Answers]] = {
        "kvring": functools.partial(run_engine, engine, requests)
    }
    for peer in filter(None, arguments.peers.split(",")):
        size = {"hf-single": 1, "hf-padded": PADDED_BATCH}.get(peer) or int(peer.removeprefix("hf-padded-"))
        contestants[peer] = functools.partial(run_transformers, model, requests, size)
    result = compare(
        contestants,
        arguments.rounds,
        sum(request.max_tokens for request in requests),
        CLOCKS[arguments.clock],
    )
    result |= {
        "requests": len(requests),
        "prompt_tokens": sum(len(request.prompt) for request in requests),
        "threads": arguments.threads,
        "clock": arguments.clock,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    print(json.dumps(result))
    return 0 if all(count == len(requests) for count in result["equal"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
