"""Thousands of random greedy cases against transformers: `python -m tests.campaigns.oracle --cases 2000`.

Each is a function of its seed: a tiny random model of any family, page size, chunk size, number of pages,
strategy, and requests with shared prefixes, forks, stops and cancellations. Tokens must be those of
`generate`, log probabilities within 1e-4, and the page pool whole after each step. `--only SEED` runs one
case again.
"""

import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
import transformers
from bench import arguments
from tests.support import engine_cases, greedy_trial

REPORT_EVERY = 100


def campaign(seeds: range, models: greedy_trial.Models) -> None:
    """Runs the cases of these seeds and prints what they met; stops at the first that fails."""
    began_at = time.perf_counter()
    counts: Counter[str] = Counter()
    cases_by_variant: Counter[str] = Counter()
    worst = 0.0
    for seed in seeds:
        trial = greedy_trial.run(seed, models)
        counts += trial.counts
        cases_by_variant[trial.variant] += 1
        worst = max(worst, trial.worst)
        if counts["cases"] % REPORT_EVERY == 0:
            print(f"{counts['cases']} of {len(seeds)}, {time.perf_counter() - began_at:.0f} s", flush=True)
    print(dict(sorted(cases_by_variant.items())))
    print(dict(counts))
    print(f"greatest difference of a log probability {worst:.2g}; {time.perf_counter() - began_at:.0f} s")


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--cases", type=arguments.count, default=2000, help="default 2000")
    parser.add_argument("--seed", type=arguments.whole, default=0, help="of the first case (default 0)")
    parser.add_argument("--only", type=arguments.whole, help="the seed of one case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.ERROR)  # small caches are meant, and warned of
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    seeds = range(options.seed, options.seed + options.cases)
    if options.only is not None:
        seeds = range(options.only, options.only + 1)
        print(engine_cases.make(options.only))
    with tempfile.TemporaryDirectory() as home:
        try:
            campaign(seeds, greedy_trial.Models(Path(home)))
        except AssertionError as error:
            if options.only is not None:
                raise
            sys.exit(str(error))


if __name__ == "__main__":
    arguments.run(main)
