"""Very many draws of each kind against their exact law: `python -m tests.campaigns.sampling --draws 1000000`.

Pearson's chi-square for each sentence of `tests.support.sampling_cases`; the exit status is 1 when one is too
unlikely.
"""

import time

from bench import arguments
from tests.support.sampling_cases import CASES, UNLIKELY, p_values


def main() -> int:
    parser = arguments.parser(__doc__)
    parser.add_argument(
        "--draws", type=arguments.count, default=1_000_000, help="of each case (default 1000000)"
    )
    options = parser.parse_args()
    began_at, wrong = time.perf_counter(), 0
    for case in CASES:
        (p_value,) = p_values([case], options.draws).values()
        wrong += not p_value > UNLIKELY  # too few draws to judge have no p-value, and prove nothing
        print(f"p = {p_value:.3g}  {case.sentence}", flush=True)
    took_s = time.perf_counter() - began_at
    print(f"{len(CASES)} cases, {options.draws} draws of each, {wrong} wrong, {took_s:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    arguments.run(main)
