"""What pages cost besides their memory: names, allocation, and what forks share.

`python -m bench.pages --pages 8192 --prompt-tokens 2048 --batch 16,128`

- Names: nanoseconds a token of the chain of digests, beside one bare SHA-256 call a page of the same run.
- Allocation: microseconds a page, allocate and free together, in batches; of pages that nobody knows, and
  of known ones, each of which must be evicted and forgotten first. Beside them a bare list.
- Forks: the most pages that one prompt with n answers holds, beside n requests that share nothing.

The rounds of the contestants are interleaved; all are timed by the processor time of their own process. With
`--vllm-python PYTHON` that one's vLLM (hash_block_tokens with sha256, BlockPool) is one of them; without it,
the ratios are to what vLLM took on a two-core machine, which says little on another.

Progress goes to standard error. The last line of standard output is one JSON object, medians of the rounds:

  vllm                        "measured" or "recorded"
  hash_ns_per_token           nanoseconds, of each contestant
  allocate_free_us_per_page   by batch: microseconds, of each contestant; "known": of pages evicted first
  forks                       the most pages held with and without sharing, pages copied for each fork
  ratio                       of hash and allocate_free, vLLM's time through ours; of forks, unshared through
                              shared pages: above 1 is better

The exit status is 2 when it cannot be done as asked, 130 when interrupted.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from bench import arguments
from bench.contest import vllm_python

from kvring_contract import keys
from kvring_node.batch import Drawn
from kvring_node.engine.scheduler import Limits, Scheduler
from kvring_node.engine.strategies.registry import STRATEGIES
from kvring_node.messages import SamplingParams
from kvring_node.pages.pool import PagePool
from kvring_node.pages.prefix import PrefixIndex
from kvring_node.pages.table import PageTables
from kvring_node.sequence import Phase, Sequence

ROOT = hashlib.sha256(b"bench").digest()
BATCHES = (1, 16, 128)
RECORDED_HASH_NS = 111.0
"""vLLM's own benchmark_prefix_block_hash.py."""
RECORDED_ALLOCATE_US = 1.9
"""vLLM's BlockPool, page by page."""
RECORDED_ALLOCATE_BATCH_US = 0.55
"""The same in batches of 10 and more."""

VLLM = """
import json, os, sys, time
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # vLLM logs to standard output
try:
    from vllm.utils.hashing import sha256
except ImportError:  # 0.11
    from vllm.utils import sha256
from vllm.v1.core.block_pool import BlockPool
from vllm.v1.core.kv_cache_utils import hash_block_tokens, init_none_hash

init_none_hash(sha256)
for line in sys.stdin:
    work = json.loads(line)
    began_at = time.process_time()
    if work["kind"] == "hash":
        size = work["page_tokens"]
        for tokens in work["prompts"]:
            parent = None
            for start in range(0, len(tokens) - size + 1, size):
                parent = hash_block_tokens(sha256, parent, tokens[start : start + size])
    else:
        newer = {"hash_block_size": 16} if "hash_block_size" in BlockPool.__init__.__annotations__ else {}
        pool = BlockPool(work["pages"] + 1, enable_caching=True, **newer)
        began_at = time.process_time()
        for _ in range(work["pages"] // work["batch"]):
            pool.free_blocks(reversed(pool.get_new_blocks(work["batch"])))
    print(time.process_time() - began_at, file=answers, flush=True)
"""


Asked = Callable[[str], float]
"""Another interpreter's vLLM: from a line of work to seconds."""

Contestant = Callable[[], float]
"""Seconds that one round took."""


def timed(work: Callable[[], object]) -> Contestant:
    def run() -> float:
        began_at = time.process_time()
        work()
        return time.process_time() - began_at

    return run


def medians(contestants: dict[str, Contestant], num_rounds: int, unit: float) -> dict[str, float]:
    """Each contestant's median over interleaved rounds, after one to warm up, in `unit` seconds."""
    for run in contestants.values():
        run()
    rounds = [{name: run() for name, run in contestants.items()} for _ in range(num_rounds)]
    return {name: statistics.median(one[name] for one in rounds) / unit for name in contestants}


def hash_contestants(prompts: list[list[int]], page_tokens: int, vllm: Asked | None) -> dict[str, Contestant]:
    message = bytes(32 + 4 * page_tokens)
    num_pages = sum(len(tokens) // page_tokens for tokens in prompts)

    def ours() -> None:
        for tokens in prompts:
            keys.page_digests(ROOT, tokens, page_tokens)

    def bare() -> None:
        for _ in range(num_pages):
            hashlib.sha256(message).digest()

    contestants = {"kvring": timed(ours), "bare sha256": timed(bare)}
    if vllm is not None:
        work = json.dumps({"kind": "hash", "prompts": prompts, "page_tokens": page_tokens})
        contestants["vllm"] = lambda: vllm(work)
    return contestants


def pool_contestants(num_pages: int, batch: int, vllm: Asked | None) -> dict[str, Contestant]:
    num_turns = num_pages // batch
    pool, bare = PagePool(num_pages), list(range(num_pages))

    def turn_unknown() -> None:
        for _ in range(num_turns):
            pool.release(reversed(pool.allocate(batch)))

    def turn_known() -> float:
        known = PagePool(num_pages)
        for page in known.allocate(num_pages):
            known.seal(page, page.to_bytes(32, "big"))
        known.release(range(num_pages))
        return timed(lambda: turn_all(known))()

    def turn_all(known: PagePool) -> None:
        tables = [known.allocate(batch) for _ in range(num_turns)]
        for pages in tables:
            known.release(reversed(pages))

    def turn_bare() -> None:
        for _ in range(num_turns):
            pages = [bare.pop() for _ in range(batch)]
            bare.extend(reversed(pages))

    contestants = {"kvring": timed(turn_unknown), "kvring, known": turn_known, "bare list": timed(turn_bare)}
    if vllm is not None:
        work = json.dumps({"kind": "pool", "pages": num_pages, "batch": batch})
        contestants["vllm"] = lambda: vllm(work)
    return contestants


def most_pages(prompts: list[list[int]], n: int, num_tokens: int, page_tokens: int) -> tuple[int, int]:
    """The most pages held while these prompts get `n` answers each; and how many pages were copied."""
    room = len(prompts) * n * (len(prompts[0]) + num_tokens)
    pool = PagePool(room // page_tokens + len(prompts) * n)
    tables = PageTables(pool, PrefixIndex(pool, ROOT, page_tokens), page_tokens)
    scheduler = Scheduler(tables, STRATEGIES["FCFS"](time.monotonic), Limits(room, len(prompts) * n))
    for prompt in prompts:
        first, *siblings = (answer(prompt, index, num_tokens) for index in range(n))
        first.siblings = siblings
        scheduler.add(first)
    most, token_ids = 0, itertools.count()
    while chunks := scheduler.schedule(0.0):
        most = max(most, pool.num_used)
        scheduler.take_copies()
        num_draws = sum(1 + len(chunk.sequence.siblings) for chunk in chunks)
        scheduler.commit(chunks, Drawn(list(itertools.islice(token_ids, num_draws))), 0.0)
    return most, scheduler.num_pages_copied


def answer(prompt: list[int], index: int, num_tokens: int) -> Sequence:
    return Sequence(
        "bench", list(prompt), len(prompt), SamplingParams(), len(prompt) + num_tokens, frozenset(),
        seed=index, index=index, phase=Phase.UNBORN if index else Phase.WAITING,
    )  # fmt: skip


def forks(prompt: list[int], n: int, num_tokens: int, page_tokens: int) -> tuple[int, int, float]:
    """Pages with and without sharing, and copies for each fork."""
    shared, num_copies = most_pages([prompt], n, num_tokens, page_tokens)
    apart, _ = most_pages([[number, *prompt[1:]] for number in range(n)], 1, num_tokens, page_tokens)
    return shared, apart, round(num_copies / max(1, n - 1), 2)


def row(name: str, values: dict[str, float], digits: int) -> dict[str, float]:
    """Tells one comparison, and rounds it."""
    arguments.tell(f"{name:32}" + "".join(f"{who} {value:.{digits}f}   " for who, value in values.items()))
    return {who: round(value, digits) for who, value in values.items()}


def ratio(values: dict[str, float], recorded: float) -> float:
    """What vLLM takes through what we take."""
    return round(values.get("vllm", recorded) / values["kvring"], 2)


def main() -> None:
    """Parses, measures, prints."""
    options = _options()
    with contextlib.ExitStack() as stack:
        vllm = None
        if options.vllm_python:
            vllm = stack.enter_context(vllm_python.asked(options.vllm_python, ["-c", VLLM]))
        print(json.dumps(measure(options, vllm)))


def measure(options: argparse.Namespace, vllm: Asked | None) -> dict[str, Any]:
    """All figures; tells them as they come."""
    page_tokens, rounds = options.page_tokens, options.rounds
    shape = options.prompts, options.prompt_tokens
    prompts: list[list[int]] = np.random.default_rng(0).integers(0, 150_000, shape).tolist()
    hashing = medians(hash_contestants(prompts, page_tokens, vllm), rounds, 1e-9 * shape[0] * shape[1])
    result: dict[str, Any] = {
        "bench": "pages",
        "vllm": "measured" if vllm else "recorded",
        "hash_ns_per_token": row("hash, ns a token", hashing, 1),
        "allocate_free_us_per_page": {},
        "ratio": {"hash": ratio(hashing, RECORDED_HASH_NS), "allocate_free": {}},
    }
    for batch in options.batch:
        unit = 1e-6 * (options.pages // batch * batch)
        turns = medians(pool_contestants(options.pages, batch, vllm), rounds, unit)
        name = f"allocate + free {batch}, us a page "
        recorded = RECORDED_ALLOCATE_BATCH_US if batch >= 10 else RECORDED_ALLOCATE_US
        result["allocate_free_us_per_page"][batch] = row(name, turns, 3)
        result["ratio"]["allocate_free"][batch] = ratio(turns, recorded)
    shared, apart, num_copies = forks(prompts[0], options.n, options.answer_tokens, page_tokens)
    result["forks"] = {"pages": shared, "pages_unshared": apart, "copies_a_fork": num_copies}
    result["ratio"]["forks"] = round(apart / shared, 2)
    arguments.tell(f"{f'n = {options.n}':32}{result['forks']}")
    return result


def _options() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    add, count = parser.add_argument, arguments.count
    add("--pages", type=count, default=8192, help="of the pool (default 8192)")
    add("--page-tokens", type=count, default=16, help="of a page (default 16)")
    add("--prompts", type=count, default=16, help="hashed in a round (default 16)")
    add("--prompt-tokens", type=count, default=2048, help="of each prompt (default 2048)")
    add(
        "--batch",
        type=arguments.several(count),
        help="pages at once; several numbers with commas (default 1,16,128)",
    )
    add("--n", type=count, default=8, help="answers to one prompt (default 8)")
    add("--answer-tokens", type=count, default=128, help="of each of them (default 128)")
    add("--rounds", type=count, default=31, help="turns of each contestant (default 31)")
    add("--vllm-python", type=arguments.program, metavar="PYTHON", help=vllm_python.HELP + "; 0.11 will do")
    options = parser.parse_args()
    options.batch = options.batch or [batch for batch in BATCHES if batch <= options.pages]
    if max(options.batch) > options.pages:
        parser.error(f"--batch {max(options.batch)} does not fit into --pages {options.pages}")
    if options.prompt_tokens < options.page_tokens:
        parser.error(f"--prompt-tokens {options.prompt_tokens} do not fill a page of {options.page_tokens}")
    return options


if __name__ == "__main__":
    arguments.run(main)
