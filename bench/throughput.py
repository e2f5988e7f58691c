"""Tokens per second of our engine or node beside its peers, on one model and one list of requests.

    python -m bench.throughput --model DIR --requests FILE.jsonl --peers hf-padded-48,hf-cb,ct2
    python -m bench.throughput --model DIR --http --peers hf-padded-48,vllm --vllm-python VENV/bin/python

Everybody computes in float32 on the same device with the same threads, gets all requests at once, decodes
greedily and past the end of text, and has answered some short requests before; the contestants' rounds are
interleaved. With --http our side is the node's own processes, asked by a client in this one, and so is vllm
always; servers are suspended in others' turns.

Requests: `synthetic` makes random ones, new in every round. A file has one JSON object a line: {"prompt":
text or list of token ids, "max_tokens": number}, or {"messages": [...]} for the model's chat template, or one
of these as "body", as in OpenAI's batch files. Sets of questions ("question", "turns"), ShareGPT's dialogues
(also as one list) and vLLM's custom rows ("output_tokens") will do; Mooncake's traces get random tokens of
their lengths and common beginnings. A row that the model cannot answer whole ends the bench before anything
runs.

Peers: hf-single and hf-padded-N are transformers' `generate`, one by one and in batches of N; hf-cb is its
continuous batching, ct2 CTranslate2, vllm the server of another environment (on a CPU without torch.compile,
which takes minutes). A padded batch and ct2 compute all answers to the length of the longest; only tokens
asked for count. Servers and hf-cb keep prefixes, and find a file's prompts again from the second round on;
our engine in process forgets them before each. A peer that cannot take part is skipped.

Progress goes to standard error. The last line of standard output is one JSON object:

  tokens_per_s             of each contestant: tokens of answers a second; median, min, max of the rounds
  ratio                    our median rate through each peer's: above 1 we are faster
  equal                    answers with the same tokens as ours
  ties                     of those that differ: where it begins, both tokens have one logit in transformers
  found_cached_tokens      of servers: prompt tokens that they had already, in all rounds
  outside_the_model        in process: what a step costs beside the layers and the head (us: microseconds)
  outside_the_runner       in process: the same without making index arrays and drawing tokens
  skipped, versions        who did not take part, and why; of the libraries
  peak_gflops              the device's measured matrix peak, in float32
  work_gflop               the arithmetic of a round that nobody gets around
  share_of_peak            of each contestant: that work in a second, through that peak

The exit status is 1 when an answer differs and it is no tie, 2 when it cannot be done as asked or no peer
can take part, 130 when interrupted. On a machine with noisy neighbours, `--clock cpu` counts the processor
time of the contestant's processes instead.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from bench import arguments
from bench.contest import line_up, ours, peak, request_file, served, ties, vllm_python, workload
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
            arguments.tell(f"{name:14} {rates[name][-1]:9.1f} tok/s")
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
    result = (
        {"bench": "throughput"}
        | result
        | {
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
    )
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
            options.num_requests or 48,
            options.prompt_tokens,
            options.max_tokens,
            options.seed,
            options.rounds,
        )
    rows = request_file.read(options.requests, options.max_tokens, options.num_requests)
    tokenizer = Tokenizer(options.model)
    return [request_file.encode(rows, limits, tokenizer.encode, tokenizer.encode_chat)] * options.rounds


def _requests(text: str) -> Path | None:
    return None if text == "synthetic" else arguments.file(text)


def _options() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    add, count = parser.add_argument, arguments.count
    add("--model", type=ours.folder, required=True, help="folder in Hugging Face layout")
    add("--requests", type=_requests, metavar="FILE", help="see above (default: synthetic)")
    add(
        "--peers",
        type=arguments.several(line_up.peer),
        default=["hf-padded-48"],
        help=f"of {line_up.PEERS}; with commas (default hf-padded-48)",
    )
    add("--vllm-python", type=arguments.program, metavar="PYTHON", help=vllm_python.HELP)
    add("--http", action="store_true", help="our node over HTTP instead of the engine alone")
    add("--stream", action="store_true", help="servers stream their answers")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="for everybody (default cpu)")
    add(
        "--num-requests",
        type=count,
        help="a round: the first of a file (default all), or synthetic (default 48)",
    )
    add(
        "--prompt-tokens",
        type=count,
        nargs=2,
        default=(16, 256),
        metavar=("MIN", "MAX"),
        help="least and most of a synthetic prompt (default 16 256)",
    )
    add("--max-tokens", type=count, default=64, help="of an answer whose row does not say it (default 64)")
    add("--max-num-sequences", type=count, default=64, help="run at once by ours and vllm (default 64)")
    add("--max-batch-tokens", type=count, default=2048, help="in a step of ours, vllm, hf-cb (default 2048)")
    add(
        "--cache-bytes",
        type=settings.size_bytes,
        default=2 << 30,
        metavar="SIZE",
        help="for the pages of ours, vllm, hf-cb, each: bytes, or like 512Mi (default 2Gi)",
    )
    add("--rounds", type=count, default=3, help="turns of each contestant (default 3)")
    add("--seed", type=arguments.whole, default=0, help="of the first round's synthetic requests (default 0)")
    add(
        "--clock",
        choices=sorted(peak.CLOCKS),
        default="wall",
        help="seconds of which (default wall); cpu not with a GPU",
    )
    add(
        "--threads",
        type=count,
        default=torch.get_num_threads(),
        help="of the CPU, of each contestant (default %(default)s: as torch finds)",
    )
    options = parser.parse_args()
    if "vllm" in options.peers and options.vllm_python is None:
        parser.error(f"the peer vllm needs --vllm-python: {vllm_python.HELP}")
    if "vllm" in options.peers and not options.http:
        arguments.tell("vllm is asked over HTTP and kvring is not; --http makes that equal")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device is visible; use --device cpu")
    return options


if __name__ == "__main__":
    arguments.run(main)
