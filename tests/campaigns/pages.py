"""A long campaign of random operations on pages: `python -m tests.campaigns.pages --operations 1000000`.

Pool, tables, prefix index and forks over paper memory (`tests.support.page_world`), with every invariant
checked after each operation. The seeds are printed: a failure is repeated with `--seed`.
"""

import random
import sys
import time
from collections import Counter

from bench import arguments
from tests.support.page_world import Turn, World

OPERATIONS_A_WORLD = 2000


def turn(rng: random.Random) -> Turn:
    return Turn(
        who=rng.randrange(60),
        num_tokens=rng.choice([0, 1, 3, 59]),
        num_siblings=rng.choice([0, 0, 1, 2]),
        tokens=(rng.randrange(2), rng.randrange(2), rng.randrange(2)),
        is_withdrawn=rng.random() < 0.1,
    )


def prompt(rng: random.Random) -> tuple[int, ...]:
    """Few different ones, so that they share their beginnings."""
    return tuple([0, 1, 1, 0] * 3)[: rng.randrange(13)] + tuple(
        rng.randrange(2) for _ in range(rng.randrange(9))
    )


def operate(world: World, rng: random.Random) -> str:
    """One operation, by chance; its name."""
    kind = rng.choices(["step", "arrive", "finish", "preempt", "resume", "forget"], [60, 18, 8, 6, 7, 1])[0]
    match kind:
        case "step":
            world.step([turn(rng) for _ in range(rng.randint(1, 5))])
        case "arrive":
            same = prompt(rng)
            world.step(
                [turn(rng) for _ in range(rng.randint(0, 3))],
                [same if rng.random() < 0.5 else prompt(rng) for _ in range(rng.randint(1, 3))],
            )
        case "finish":
            world.finish(rng.randrange(60))
        case "preempt":
            world.preempt(rng.randrange(60))
        case "resume":
            world.resume(rng.randrange(60))
        case "forget":
            world.forget()
    return kind


def campaign(num_operations: int, seed: int) -> Counter[str]:
    """Worlds of all sizes, one after another; how often what happened."""
    counts: Counter[str] = Counter()
    done = 0
    while done < num_operations:
        rng = random.Random(seed)
        world = World(num_pages=rng.randint(2, 16), page_tokens=rng.choice([1, 2, 4]))
        for _ in range(min(OPERATIONS_A_WORLD, num_operations - done)):
            try:
                counts[operate(world, rng)] += 1
            except BaseException:
                print(f"seed {seed} after {dict(counts)}", file=sys.stderr)
                raise
            done += 1
        counts["forks"] += world.num_forks
        counts["copies"] += world.tables.num_copies
        counts["hit tokens"] += world.prefix.hits_tokens
        seed += 1
    return counts


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--operations", type=arguments.count, default=1_000_000, help="default 1000000")
    parser.add_argument("--seed", type=arguments.whole, default=0, help="of the first world (default 0)")
    options = parser.parse_args()
    began_at = time.perf_counter()
    counts = campaign(options.operations, options.seed)
    print(f"{options.operations} operations from seed {options.seed}, checked after each: {dict(counts)}")
    print(f"{time.perf_counter() - began_at:.0f} s")


if __name__ == "__main__":
    arguments.run(main)
