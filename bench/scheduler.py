"""What scheduling costs: schedule, batch and commit, for each running sequence and step.

    python -m bench.scheduler --sequences 64,256 --steps 200 --prompt-tokens 128

Our own classes from the scheduler down to the page pool; all sequences decode, and the model is left out. The
peer is vLLM's scheduler. The last line is one JSON object; its ratio compares the peer with our slowest
strategy at the largest number of sequences.
"""

import argparse
import json
import statistics
import sys
import time

from kvring_node import batch
from kvring_node.batch import Drawn
from kvring_node.engine.scheduler import Limits, Scheduler
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import SamplingParams
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.pages.table import PageTables
from kvring_node.sequence import Sequence

PEER_US = 17.5
"""vLLM's Scheduler at 256 sequences, recorded on a two-core machine; see docs/bench-log.md."""
VOCAB_SIZE = 32_000


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", default="64,256", help="how many run; several numbers with commas")
    parser.add_argument("--steps", type=int, default=200, help="steps of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--page-tokens", type=int, default=16)
    parser.add_argument("--strategies", default="FCFS", help=f"of {', '.join(STRATEGIES)}; with commas")
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.sequences.split(",")]
    figures = {
        strategy: {size: _median_us(strategy, size, options) for size in sizes}
        for strategy in options.strategies.split(",")
    }
    largest = max(sizes)
    worst = max(by_size[largest] for by_size in figures.values())
    result = {
        "bench": "scheduler",
        "us_per_sequence_and_step": figures,
        "peer": "vLLM Scheduler, recorded",
        "peer_us": PEER_US,
        "ratio": round(PEER_US / worst, 2),
    }
    print(json.dumps(result))


def _median_us(strategy: str, size: int, options: argparse.Namespace) -> float:
    rounds = [_round_us(strategy, size, options) for _ in range(options.rounds)]
    median = round(statistics.median(rounds), 2)
    print(
        f"{strategy}, {size} sequences: {median} µs ({min(rounds):.2f} to {max(rounds):.2f})", file=sys.stderr
    )
    return median


def _round_us(strategy: str, size: int, options: argparse.Namespace) -> float:
    scheduler = _filled(strategy, size, options)
    steps: int = options.steps
    drawn = Drawn([VOCAB_SIZE - 1] * size)
    _step(scheduler, drawn)  # the prompts
    started_at = (
        time.process_time()
    )  # nothing waits for anything: on a busy machine it says more than a clock
    for _ in range(steps):
        _step(scheduler, drawn)
    return (time.process_time() - started_at) * 1e6 / (size * steps)


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


if __name__ == "__main__":
    main(sys.argv[1:])
