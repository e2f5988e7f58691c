"""Tokens per second of our engine or node beside its peers, on one model and one list of requests.

    python -m bench.throughput --model DIR --requests FILE.jsonl --peers hf-padded-48,hf-cb,ct2
    python -m bench.throughput --model DIR --http --peers hf-padded-48,vllm --vllm-python VENV/bin/python

A request file has one JSON object a line: {"prompt": text or list of token ids, "max_tokens": number}, or
{"messages": [...]} for the model's chat template; the rows of OpenAI's batch files, which have it as "body",
will do. `synthetic` makes random ones, new in every round. Everybody computes in float32 on the same device,
gets all requests at once, decodes greedily and past the end of text; the rounds of the contestants are
interleaved. With --http our side is the node's own processes, asked by a client in this one, and so is vllm
always. Servers that keep prefixes find a file's prompts again from the second round on: the tokens found are
told. A peer that cannot take part is skipped, and the JSON says why.

The last line is one JSON object: rates, ratios, answers that agree with ours, the device's measured matrix
peak and the share of it that the work that cannot be avoided comes to; in process also what a step costs
outside the model, and outside the runner, which prepares the model's arrays and draws the tokens. The exit
status is 1 when an answer differs, unless where it begins to differ both tokens have the same logit in
transformers (a tie, counted by name); 2 when it cannot be done as asked. On a machine with noisy neighbours,
`--clock cpu` counts the processor time of the contestant's processes instead.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from bench import arguments
from bench.contest import line_up, ours, peak, request_file, served, ties, workload
from bench.contest.contestant import Absent, Contestant
from bench.contest.ties import Difference
from bench.contest.workload import Answers, Limits, Request, Unfit

from kvring_node import settings
from kvring_node.model import config as model_config
from kvring_node.model.errors import ModelError
from kvring_node.model.tokenizer import Tokenizer


def compare(
    contestants: dict[str, Contestant],
    rounds: Sequence[Sequence[Request]],
    clock: Callable[[Contestant], float],
) -> tuple[dict[str, Any], list[Difference]]:
    """Runs everybody in turn: rates in tokens answered, ratios, how many answers are equal to the first's.

    Raises:
        Absent: somebody failed, or took no time that the clock could tell.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    differences: list[Difference] = []
    for requests in rounds:
        firsts: Answers = []
        for name, contestant in contestants.items():
            started_at = clock(contestant)
            answers = contestant(requests)
            rates[name].append(_rate(name, sum(map(len, answers)), clock(contestant) - started_at))
            firsts = firsts or answers
            differences += [
                Difference(name, request, first, answer)
                for request, first, answer in zip(requests, firsts, answers, strict=True)
                if first != answer
            ]
            print(f"{name:14} {rates[name][-1]:9.1f} tok/s", flush=True)
    median = {name: statistics.median(found) for name, found in rates.items()}
    first, num_answers = next(iter(contestants)), sum(map(len, rounds))
    num_differing = Counter(one.name for one in differences)
    result = {
        "tokens_per_s": {
            name: {"median": round(median[name], 1), "min": round(min(r), 1), "max": round(max(r), 1)}
            for name, r in rates.items()
        },
        "ratio": {name: round(median[first] / rate, 2) for name, rate in median.items() if name != first},
        "equal": {name: f"{num_answers - num_differing[name]} of {num_answers}" for name in contestants},
    }
    return result, differences


def _rate(name: str, num_tokens: int, took_s: float) -> float:
    if not num_tokens or not took_s:
        raise Absent(f"{name}: {num_tokens} tokens in {took_s:g} s by this clock; give more requests")
    return num_tokens / took_s


def main() -> int:
    """Parses, runs, prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    config = model_config.read(options.model)
    limits = ours.limits(config, options.cache_bytes)
    clock = peak.clock(options.clock, options.device)
    try:
        rounds = _rounds(options, limits)
        peak_gflops = peak.measure(clock, options.device)
        result, differences = _contest(options, rounds, limits)
        num_ties = ties.count(options.model, options.device, differences)
    except (Absent, ModelError, Unfit) as error:
        arguments.refuse(str(error))
    work_gflop = workload.flops(config, rounds[0]) / 1e9
    num_tokens = sum(request.max_tokens for request in rounds[0])
    result |= {
        "ties": num_ties,
        "peak_gflops": round(peak_gflops, 1),
        "work_gflop": round(work_gflop, 1),
        "share_of_peak": {
            name: round(work_gflop * rate["median"] / num_tokens / peak_gflops, 3)
            for name, rate in result["tokens_per_s"].items()
        },
        "requests": len(rounds[0]),
        "prompt_tokens": sum(len(request.prompt) for request in rounds[0]),
        "http": options.http,
        "device": options.device,
        "threads": options.threads,
        "clock": options.clock,
    }
    print(json.dumps(result))
    return int(len(differences) > sum(num_ties.values()))


def _contest(
    options: argparse.Namespace, rounds: Sequence[Sequence[Request]], limits: Limits
) -> tuple[dict[str, Any], list[Difference]]:
    warm_up = workload.warm_up(limits)
    given = served.Conditions(
        folder=options.model,
        device=options.device,
        num_threads=options.threads,
        max_num_sequences=options.max_num_sequences,
        max_batch_tokens=options.max_batch_tokens,
        cache_bytes=options.cache_bytes,
        num_requests=len(rounds[0]),
        longest=max(len(one.prompt) + one.max_tokens for one in [*rounds[0], *warm_up]),
        stream=options.stream,
    )
    wall = peak.CLOCKS["wall"]
    with contextlib.ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        met = line_up.meet(options, given, warm_up, logs, stack)
        result, differences = compare(
            met.contestants, rounds, _used_s if options.clock == "cpu" else lambda _: wall()
        )
        result["found_cached_tokens"] = {
            name: one.cached_tokens for name, one in met.contestants.items() if isinstance(one, served.Served)
        }
    engine = met.contestants["kvring"]
    if isinstance(engine, ours.Ours):
        result |= engine.outside()
    return result | {"skipped": met.skipped, "versions": met.versions}, differences


def _used_s(contestant: Contestant) -> float:
    return contestant.cpu_s()


def _rounds(options: argparse.Namespace, limits: Limits) -> list[list[Request]]:
    if options.requests is None:
        return workload.rounds(
            limits,
            options.num_requests,
            options.prompt_tokens,
            options.max_tokens,
            options.seed,
            options.rounds,
        )
    rows = request_file.read(options.requests, options.max_tokens)
    tokenizer = Tokenizer(options.model)
    return [request_file.encode(rows, limits, tokenizer.encode, tokenizer.encode_chat)] * options.rounds


def _requests(text: str) -> Path | None:
    return None if text == "synthetic" else arguments.file(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, count = parser.add_argument, arguments.count
    add("--model", type=ours.folder, required=True, help="folder in Hugging Face layout")
    add("--requests", type=_requests, metavar="FILE", help="a .jsonl file, or synthetic (the default)")
    add(
        "--peers",
        type=arguments.several(line_up.peer),
        default=["hf-padded-48"],
        help=f"of {line_up.PEERS}; with commas (default hf-padded-48)",
    )
    add("--vllm-python", type=arguments.program, help="interpreter of an environment with vLLM")
    add("--http", action="store_true", help="our node over HTTP instead of the engine alone")
    add("--stream", action="store_true", help="servers stream their answers")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="for everybody (default cpu)")
    add("--num-requests", type=count, default=48, help="of synthetic ones, a round (default 48)")
    add(
        "--prompt-tokens",
        type=count,
        nargs=2,
        default=(16, 256),
        metavar=("MIN", "MAX"),
        help="of synthetic requests (default 16 256)",
    )
    add("--max-tokens", type=count, default=64, help="out, where a file's row does not say it (default 64)")
    add("--max-num-sequences", type=count, default=64, help="that a server runs at once (default 64)")
    add("--max-batch-tokens", type=count, default=2048, help="of a server's step (default 2048)")
    add(
        "--cache-bytes",
        type=settings.size_bytes,
        default=2 << 30,
        help="for the pages of ours and of vllm (default 2Gi)",
    )
    add("--rounds", type=count, default=3, help="default 3")
    add("--seed", type=arguments.whole, default=0, help="of the first round's synthetic requests (default 0)")
    add("--clock", choices=sorted(peak.CLOCKS), default="wall", help="default wall; cpu not with a GPU")
    add("--threads", type=count, default=torch.get_num_threads(), help="of the CPU (default: as torch finds)")
    options = parser.parse_args()
    if "vllm" in options.peers and options.vllm_python is None:
        parser.error("the peer vllm needs --vllm-python")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device is visible; use --device cpu")
    return options


if __name__ == "__main__":
    sys.exit(main())
