"""What scheduling costs: schedule, batch and commit, for each running sequence and step.

    python -m bench.scheduler --sequences 64,256 --steps 200 --prompt-tokens 128
    python -m bench.scheduler --vllm-python DIR/bin/python

Our own classes from the scheduler down to the page pool; all sequences decode, and the model is left out. The
peer is vLLM's scheduler (schedule and update_from_output, prefix cache on): with --vllm-python in turns with
ours under the same load, else a figure recorded on a two-core machine, which says little on another. Both
are timed by the processor time of their own process.

Progress goes to standard error. The last line of standard output is one JSON object:

  us_per_sequence_and_step   by number of sequences and strategy: microseconds, median of the rounds
  peer, peer_us              who, measured or recorded, and its microseconds at most sequences
  ratio                      that through our slowest strategy's: above 1 we cost less

The exit status is 2 when it cannot be done as asked, 130 when interrupted.
"""

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench import arguments
from bench.contest import vllm_python

from kvring_node import batch
from kvring_node.batch import Drawn
from kvring_node.engine.scheduler import Limits, Scheduler
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import SamplingParams
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.pages.table import PageTables
from kvring_node.sequence import Sequence

RECORDED_US = 17.5
"""vLLM's Scheduler at 256 sequences on a two-core machine; docs/bench-log.md."""
VLLM = Path(__file__).with_name("vllm_scheduler.py")
VOCAB_SIZE = 32_000
Measure = Callable[[int], float]


def main() -> None:
    options = _options()
    sizes, strategies = options.sequences, options.strategies
    with contextlib.ExitStack() as stack:
        measures: dict[str, Measure] = {name: _measure(name, options) for name in strategies}
        if options.vllm_python:
            given = ["--steps", options.steps, "--prompt-tokens", options.prompt_tokens]
            given = [str(VLLM), *map(str, given), "--page-tokens", str(options.page_tokens)]
            measures["vLLM"] = _vllm(stack.enter_context(vllm_python.asked(options.vllm_python, given)))
        figures = {size: _medians(size, measures, options.rounds) for size in sizes}
    most = figures[max(sizes)]
    peer_us = most.get("vLLM", RECORDED_US)
    result = {
        "bench": "scheduler",
        "us_per_sequence_and_step": figures,
        "peer": "vLLM Scheduler" if options.vllm_python else "vLLM Scheduler, recorded",
        "peer_us": peer_us,
        "ratio": round(peer_us / max(most[name] for name in strategies), 2),
    }
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    add, count, several = parser.add_argument, arguments.count, arguments.several
    add(
        "--sequences",
        type=several(count),
        default=[64, 256],
        help="how many run; several numbers with commas (default 64,256)",
    )
    add("--steps", type=count, default=200, help="of decoding in a round (default 200)")
    add("--rounds", type=count, default=5, help="turns of each contestant (default 5)")
    add("--prompt-tokens", type=count, default=128, help="of each sequence (default 128)")
    add("--page-tokens", type=count, default=16, help="of a page (default 16)")
    add(
        "--strategies",
        type=several(arguments.one_of(STRATEGIES)),
        default=["FCFS"],
        help=f"of {', '.join(STRATEGIES)}; with commas (default FCFS)",
    )
    add("--vllm-python", type=arguments.program, metavar="PYTHON", help=vllm_python.HELP)
    return parser.parse_args()


def _medians(size: int, measures: dict[str, Measure], num_rounds: int) -> dict[str, float]:
    arguments.tell(f"{size} sequences, {num_rounds} rounds")
    rounds = [{name: measure(size) for name, measure in measures.items()} for _ in range(num_rounds)]
    medians = {}
    for name in measures:
        found = [figures[name] for figures in rounds]
        medians[name] = round(statistics.median(found), 2)
        arguments.tell(f"  {name}: {medians[name]} µs ({min(found):.2f} to {max(found):.2f})")
    return medians


def _measure(strategy: str, options: argparse.Namespace) -> Measure:
    def measure(size: int) -> float:
        scheduler = _filled(strategy, size, options)
        drawn = Drawn([VOCAB_SIZE - 1] * size)
        steps: int = options.steps
        _step(scheduler, drawn)  # the prompts
        started_at = time.process_time()  # nobody waits: on a busy machine it says more than a clock
        for _ in range(steps):
            _step(scheduler, drawn)
        return (time.process_time() - started_at) * 1e6 / (size * steps)

    return measure


def _step(scheduler: Scheduler, drawn: Drawn) -> None:
    chunks = scheduler.schedule(0.0)
    work = batch.make(chunks, scheduler.take_copies())
    if len(work.draws) != len(drawn.token_ids):
        raise RuntimeError(f"{len(work.draws)} of {len(drawn.token_ids)} sequences decode")
    scheduler.commit(chunks, drawn, 0.01)


def _filled(strategy: str, size: int, options: argparse.Namespace) -> Scheduler:
    """With all sequences waiting, and room for all of them to the last step."""
    length = options.prompt_tokens + options.steps + 2
    pool = PagePool(size * (length // options.page_tokens + 1))
    tables = PageTables(pool, PrefixIndex(pool, b"root", options.page_tokens), options.page_tokens)
    limits = Limits(max_batch_tokens=size * options.prompt_tokens, max_num_sequences=size)
    scheduler = Scheduler(tables, STRATEGIES[strategy](time.monotonic), limits)
    params = SamplingParams(max_tokens=length)
    for number in range(size):
        prompt = [(number + position) % VOCAB_SIZE for position in range(options.prompt_tokens)]
        scheduler.add(
            Sequence(
                request_id=f"r{number}",
                token_ids=prompt,
                num_prompt_tokens=len(prompt),
                params=params,
                max_tokens=2 * length,
                stop_token_ids=frozenset({0}),
                seed=number,
                tenant=f"t{number % 8}",
            )
        )
    return scheduler


def _vllm(ask: Callable[[str], float]) -> Measure:
    return lambda size: ask(str(size))


if __name__ == "__main__":
    arguments.run(main)
