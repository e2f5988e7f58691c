"""Tokens per second of our engine or node beside its peers, on one model and one list of requests.

    python -m bench.throughput --model DIR --requests FILE.jsonl --peers hf-padded-48,hf-cb,ct2
    python -m bench.throughput --model DIR --http --peers hf-padded-48,vllm --vllm-python VENV/bin/python

A request file has one JSON object a line: {"prompt": text or list of token ids, "max_tokens": number};
`synthetic` makes random ones, new in every round. Everybody gets all requests at once, decodes greedily and
past the end of text; the rounds of the contestants are interleaved. With --http our side is the node's own
processes, asked by a client in this one, and so is vllm always. Servers that keep prefixes find a file's
prompts again from the second round on: the tokens found are told.

The last line is one JSON object: rates, ratios, answers that agree with ours, the machine's measured matrix
peak and the share of it that the work that cannot be avoided comes to, and what a step costs outside the
model. The exit status is 1 when an answer differs. On a machine with noisy neighbours, `--clock cpu` counts
the processor time of the contestant's processes instead.
"""

import argparse
import contextlib
import importlib.metadata
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from bench.contest import local, peak, served, workload
from bench.contest.workload import Answers, Request

from kvring_node import assembly
from kvring_node.model import config as model_config
from kvring_node.model import tokenizer

CLOCKS = peak.CLOCKS
WARM_UP_SEED = 10**6


class Contestant(Protocol):
    """Somebody who answers requests."""

    def __call__(self, requests: Sequence[Request]) -> Answers: ...

    def cpu_s(self) -> float: ...


def compare(
    contestants: dict[str, Contestant],
    rounds: Sequence[Sequence[Request]],
    clock: Callable[[Contestant], float],
) -> dict[str, Any]:
    """Runs everybody in turn; rates, ratios, and how many answers are equal to ours."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    equal = dict.fromkeys(contestants, 0)
    for requests in rounds:
        num_tokens = sum(request.max_tokens for request in requests)
        ours: Answers = []
        for name, contestant in contestants.items():
            started_at = clock(contestant)
            answers = contestant(requests)
            rates[name].append(num_tokens / (clock(contestant) - started_at))
            ours = ours or answers
            equal[name] += sum(a == b for a, b in zip(ours, answers, strict=True))
            print(f"{name:14} {rates[name][-1]:9.1f} tok/s", flush=True)
    median = {name: statistics.median(found) for name, found in rates.items()}
    first = next(iter(contestants))
    return {
        "tokens_per_s": {
            name: {"median": round(median[name], 1), "min": round(min(r), 1), "max": round(max(r), 1)}
            for name, r in rates.items()
        },
        "ratio": {name: round(median[first] / rate, 2) for name, rate in median.items() if name != first},
        "equal": {name: f"{count} of {sum(map(len, rounds))}" for name, count in equal.items()},
    }


def main() -> int:
    """Parses, runs, prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    config = model_config.read(options.model)
    rounds = _rounds(options, config.vocab_size)
    peak_gflops = peak.measure(CLOCKS[options.clock])
    wall = CLOCKS["wall"]
    with contextlib.ExitStack() as stack:
        contestants = _contestants(options, stack)
        for contestant in contestants.values():
            contestant(workload.synthetic(config.vocab_size, 8, (16, 64), 8, WARM_UP_SEED))
        result = compare(contestants, rounds, (lambda _: wall()) if options.clock == "wall" else _used_s)
        result["found_cached_tokens"] = {
            name: one.cached_tokens for name, one in contestants.items() if isinstance(one, served.Served)
        }
    work = workload.flops(config, rounds[0])
    num_tokens = sum(request.max_tokens for request in rounds[0])
    result["peak_gflops"] = round(peak_gflops, 1)
    result["work_gflop"] = round(work / 1e9, 1)
    result["share_of_peak"] = {
        name: round(work / 1e9 * rate["median"] / num_tokens / peak_gflops, 3)
        for name, rate in result["tokens_per_s"].items()
    }
    ours = contestants["kvring"]
    if isinstance(ours, local.Ours):
        result["outside_the_model"] = ours.outside()
    result |= {
        "requests": len(rounds[0]),
        "prompt_tokens": sum(len(request.prompt) for request in rounds[0]),
        "http": options.http,
        "threads": options.threads,
        "clock": options.clock,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(result))
    return 0 if len(set(result["equal"].values())) == 1 else 1


def _used_s(contestant: Contestant) -> float:
    return contestant.cpu_s()


def _rounds(options: argparse.Namespace, vocab_size: int) -> list[list[Request]]:
    if options.requests == "synthetic":
        lengths = (options.prompt_tokens[0], options.prompt_tokens[1])
        return [
            workload.synthetic(vocab_size, options.num_requests, lengths, options.max_tokens, seed)
            for seed in range(options.seed, options.seed + options.rounds)
        ]
    requests = workload.read(Path(options.requests), tokenizer.Tokenizer(options.model).encode)
    return [requests] * options.rounds


def _contestants(options: argparse.Namespace, stack: contextlib.ExitStack) -> dict[str, Contestant]:
    limits = {"max_num_sequences": options.max_num_sequences, "max_batch_tokens": options.max_batch_tokens}
    logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    contestants: dict[str, Contestant] = {}
    if options.http:
        flags = ["--max-sequences", str(options.max_num_sequences)]
        flags += ["--max-batch-tokens", str(options.max_batch_tokens), "--dtype", "float32"]
        ours = served.node(options.model, flags, options.threads, logs / "node", options.stream)
        stack.callback(ours.close)
        contestants["kvring"] = ours
    else:
        engine = assembly.load_engine(options.model, dtype="float32", num_threads=options.threads, **limits)
        contestants["kvring"] = local.Ours(engine)
    for name in filter(None, options.peers.split(",")):
        contestants[name] = peer = _peer(name, options, logs)
        if isinstance(peer, served.Served):
            stack.callback(peer.close)
    return contestants


def _peer(name: str, options: argparse.Namespace, logs: Path) -> Contestant:
    if name == "vllm":
        flags = ["--max-num-seqs", str(options.max_num_sequences)]
        flags += ["--max-num-batched-tokens", str(options.max_batch_tokens)]
        return served.vllm(
            options.vllm_python, options.model, flags, options.threads, logs / name, options.stream
        )
    if name == "ct2":
        return local.CTranslate2(options.model, options.threads)
    if name == "hf-cb":
        return local.ContinuousBatching(options.model)
    size = 1 if name == "hf-single" else int(name.removeprefix("hf-padded-"))
    return local.Transformers(local.load_transformers(options.model, "cpu"), size)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder in Hugging Face layout")
    parser.add_argument("--requests", default="synthetic", help="a .jsonl file, or synthetic")
    parser.add_argument(
        "--peers", default="hf-padded-48", help="of hf-single, hf-padded-N, hf-cb, ct2, vllm; comma-separated"
    )
    parser.add_argument("--vllm-python", type=Path, help="interpreter of an environment with vLLM")
    parser.add_argument("--http", action="store_true", help="our node over HTTP instead of the engine alone")
    parser.add_argument("--stream", action="store_true", help="servers stream their answers")
    parser.add_argument("--num-requests", type=int, default=48, help="of synthetic ones")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=(16, 256), metavar=("MIN", "MAX"))
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--max-num-sequences", type=int, default=64)
    parser.add_argument("--max-batch-tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    if "vllm" in options.peers.split(",") and options.vllm_python is None:
        parser.error("the peer vllm needs --vllm-python")
    return options


if __name__ == "__main__":
    sys.exit(main())
