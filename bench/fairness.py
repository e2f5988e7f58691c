"""Who is served, and when, if more is asked than can be done: the real scheduler in virtual time.

    python -m bench.fairness --arrivals AzureLLMInferenceTrace_code.csv --requests 2000

Tenants: one sends `--flood` times what each of the others sends. What the worst victim gets under Fairness is
compared with its fair part (max-min at all times), and all tokens together with FCFS. Tokens are weighed as
the strategy does it, 1 for the prompt's and 2 for the answer's.

Deadlines: the file's requests at `--overload` times what the machine can do, each wanted within `--slack`
times what it would take alone. Answers in time under SLA are compared with FCFS.

A step takes --fixed-ms and --token-us for each token; strategies are not told that, nor how long an answer
will become. Arrivals are Azure's CSV of LLM inference traces, or Mooncake's lines of JSON; each strategy gets
the very same ones.

Progress goes to standard error. The last line of standard output is one JSON object:

  tenants           by load: what the worst victim got under Fairness and under FCFS, through its fair part;
                    how much less both made together than under FCFS
  deadlines         answers in time under SLA and under FCFS, of all; their ratio
  victim_of_fair    the least of all loads; 1 is fair
  throughput_loss   the most of all loads; below 0 it is a gain
  goodput_ratio     answers in time under SLA through those under FCFS: above 1 SLA is better

The exit status is 2 when it cannot be done as asked, 130 when interrupted.
"""

import argparse
import dataclasses
import itertools
import json
import random
import sys
from collections.abc import Sequence

from bench import arguments, arrivals
from bench.arrivals import BadTrace
from tests.support import paper_replay
from tests.support.paper_replay import Arrival, Machine, Outcome

from kvring_node.engine.strategies.fairness import INPUT_COST, OUTPUT_COST

FLOODER = "flooder"
TICK_S = 0.1


def main() -> None:
    options = _options()
    machine = Machine(
        fixed_s=options.fixed_ms / 1e3,
        token_s=options.token_us / 1e6,
        max_batch_tokens=options.max_batch_tokens,
        max_num_sequences=options.max_sequences,
        num_pages=options.pages,
    )
    generator = random.Random(options.seed)
    try:
        trace = _trace(options, machine, generator)
    except BadTrace as error:
        arguments.refuse(str(error))
    longest = max(arrival.num_answer_tokens for arrival in trace)
    machine = dataclasses.replace(machine, max_answer_tokens=max(machine.max_answer_tokens, longest))
    capacity = _capacity(trace, machine)
    tenants = [_tenants(trace, machine, load * capacity, options, generator) for load in options.loads]
    deadlines = _deadlines(trace, machine, options.overload * capacity, options, generator)
    result = {
        "bench": "fairness",
        "arrivals": options.arrivals.name if options.arrivals else "made",
        "requests": len(trace),
        "tenants": dict(zip(map(str, options.loads), tenants, strict=True)),
        "deadlines": deadlines,
        "victim_of_fair": min(row["victim_of_fair"] for row in tenants),
        "throughput_loss": max(row["throughput_loss"] for row in tenants),
        "goodput_ratio": deadlines["ratio"],
    }
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    add, count, positive = parser.add_argument, arguments.count, arguments.positive
    positives = arguments.several(positive)
    add(
        "--arrivals",
        type=arguments.file,
        metavar="FILE",
        help="a recorded trace (default: made ones: Poisson, log-normal lengths)",
    )
    add("--requests", type=count, default=2000, help="the first so many of the file (default 2000)")
    add("--tenants", type=count, default=4, help="with the one that floods (default 4)")
    add("--flood", type=positive, default=10.0, help="times what another tenant sends (default 10)")
    add(
        "--loads",
        type=positives,
        default=[0.8, 1.2],
        help="what an ordinary tenant sends, of its equal part of what can be done (default 0.8,1.2)",
    )
    add(
        "--duration-s", type=positive, default=600.0, help="virtual seconds of the tenants' run (default 600)"
    )
    add("--overload", type=positive, default=1.3, help="of the deadlines' run (default 1.3)")
    add(
        "--slack",
        type=positives,
        default=[5.0, 20.0],
        metavar="LEAST,MOST",
        help="of a deadline, drawn for each request (default 5,20)",
    )
    add("--fixed-ms", type=positive, default=15.0, help="milliseconds of a step (default 15)")
    add("--token-us", type=positive, default=100.0, help="microseconds of a token (default 100)")
    add("--max-batch-tokens", type=count, default=2048, help="of a step (default 2048)")
    add("--max-sequences", type=count, default=64, help="run at once (default 64)")
    add("--pages", type=count, default=16_384, help="of the cache, 16 tokens each (default 16384)")
    add("--seed", type=arguments.whole, default=1, help="of all that is drawn (default 1)")
    options = parser.parse_args()
    if options.tenants < 2:
        parser.error("--tenants must be at least 2: one that floods, and its victims")
    if len(options.slack) != 2:
        parser.error("--slack must be two numbers, like 5,20")
    return options


def _trace(options: argparse.Namespace, machine: Machine, generator: random.Random) -> list[Arrival]:
    if options.arrivals is None:
        trace = arrivals.made(options.requests, generator)
    else:
        trace = arrivals.recorded(options.arrivals, options.requests)
    if not trace[-1].at:
        raise BadTrace(f"all {len(trace)} requests come at one moment; give more that are spread over time")
    longest = max(arrival.num_prompt_tokens + arrival.num_answer_tokens for arrival in trace)
    if longest > machine.num_pages * machine.page_tokens:
        raise BadTrace(
            f"the longest request has {longest} tokens; give at least {-(-longest // machine.page_tokens)} "
            "--pages"
        )
    return trace


def _tenants(
    trace: list[Arrival], machine: Machine, rate: float, options: argparse.Namespace, rng: random.Random
) -> dict[str, float]:
    """`rate`: requests a second of all together, if the flooder were like the others."""
    sent = _flooded(trace, rate / options.tenants, options, rng)
    served = {
        strategy: _served(paper_replay.replay(sent, strategy, machine, options.duration_s).outcomes)
        for strategy in ("FCFS", "Fairness")
    }
    total = {strategy: sum(of_tenant.values()) for strategy, of_tenant in served.items()}
    fair = _fair(sent, total["FCFS"] / options.duration_s, options.duration_s)
    victims = [name for name in fair if name != FLOODER and fair[name]]
    if not victims:
        arguments.refuse(f"no victim sent anything in {options.duration_s:g} s; give a longer --duration-s")
    worst = {
        strategy: min(of_tenant.get(name, 0) / fair[name] for name in victims)
        for strategy, of_tenant in served.items()
    }
    loss = 1 - total["Fairness"] / total["FCFS"]
    print(
        f"{len(sent)} requests in {options.duration_s:g} s, one tenant sends {options.flood:g}x: the worst "
        f"victim gets {worst['Fairness']:.1%} of its fair tokens (FCFS {worst['FCFS']:.1%}), "
        f"throughput {-loss:+.2%}",
        file=sys.stderr,
    )
    return {
        "victim_of_fair": round(worst["Fairness"], 4),
        "fcfs_victim_of_fair": round(worst["FCFS"], 4),
        "throughput_loss": round(loss, 4),
    }


def _flooded(
    trace: list[Arrival], rate: float, options: argparse.Namespace, rng: random.Random
) -> list[Arrival]:
    """Requests like those of the trace, `rate` a second from each tenant but the first."""
    sent: list[Arrival] = []
    for number in range(options.tenants):
        name, factor = (f"tenant {number}", 1.0) if number else (FLOODER, options.flood)
        moments = itertools.takewhile(
            lambda at: at < options.duration_s, arrivals.poisson(rate * factor, rng)
        )
        sent += [dataclasses.replace(rng.choice(trace), at=at, tenant=name) for at in moments]
    return sorted(sent, key=lambda arrival: arrival.at)


def _deadlines(
    trace: list[Arrival], machine: Machine, rate: float, options: argparse.Namespace, rng: random.Random
) -> dict[str, float]:
    """`rate`: requests a second to which the trace is stretched."""
    stretch = len(trace) / trace[-1].at / rate
    low, high = options.slack
    hurried = [
        dataclasses.replace(
            arrival, at=arrival.at * stretch, deadline_s=rng.uniform(low, high) * _alone_s(arrival, machine)
        )
        for arrival in trace
    ]
    in_time = {
        strategy: sum(
            outcome.is_in_time for outcome in paper_replay.replay(hurried, strategy, machine).outcomes
        )
        for strategy in ("FCFS", "SLA")
    }
    ratio = in_time["SLA"] / max(1, in_time["FCFS"])
    print(
        f"{len(trace)} requests with deadlines at {options.overload:g}x of what can be done: "
        f"{in_time['SLA']} in time, FCFS {in_time['FCFS']}: {ratio:.2f}x",
        file=sys.stderr,
    )
    return {
        "sla_in_time": round(in_time["SLA"] / len(trace), 4),
        "fcfs_in_time": round(in_time["FCFS"] / len(trace), 4),
        "ratio": round(ratio, 2),
    }


def _capacity(trace: list[Arrival], machine: Machine) -> float:
    """Requests a second when there is always work."""
    at_once = [dataclasses.replace(arrival, at=0.0) for arrival in trace]
    return len(trace) / paper_replay.replay(at_once, "FCFS", machine).step_moments[-1]


def _alone_s(arrival: Arrival, machine: Machine) -> float:
    num_steps = -(-arrival.num_prompt_tokens // machine.max_batch_tokens) + arrival.num_answer_tokens - 1
    num_tokens = arrival.num_prompt_tokens + arrival.num_answer_tokens - 1
    return num_steps * machine.fixed_s + num_tokens * machine.token_s


def _cost(arrival: Arrival) -> int:
    return INPUT_COST * arrival.num_prompt_tokens + OUTPUT_COST * arrival.num_answer_tokens


def _served(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Weighed tokens of each tenant; a prompt counts when its answer begins."""
    served: dict[str, int] = {}
    for outcome in outcomes:
        arrival, num_tokens = outcome.arrival, len(outcome.token_moments)
        cost = (INPUT_COST * arrival.num_prompt_tokens if num_tokens else 0) + OUTPUT_COST * num_tokens
        served[arrival.tenant] = served.get(arrival.tenant, 0) + cost
    return served


def _fair(sent: list[Arrival], tokens_per_s: float, duration_s: float) -> dict[str, float]:
    """Weighed tokens of each tenant from an ideal server that serves all of them at the same time."""
    waiting = dict.fromkeys((arrival.tenant for arrival in sent), 0.0)
    fair = dict(waiting)
    coming = iter(sent)
    arrival = next(coming, None)
    for tick in range(int(duration_s / TICK_S)):
        while arrival is not None and arrival.at <= tick * TICK_S:
            waiting[arrival.tenant] += _cost(arrival)
            arrival = next(coming, None)
        for name, num_tokens in _max_min(waiting, tokens_per_s * TICK_S).items():
            waiting[name] -= num_tokens
            fair[name] += num_tokens
    return fair


def _max_min(demand: dict[str, float], total: float) -> dict[str, float]:
    """Everybody gets what they ask or an equal part of what others leave."""
    fair: dict[str, float] = {}
    for position, name in enumerate(sorted(demand, key=lambda name: demand[name])):
        fair[name] = min(demand[name], (total - sum(fair.values())) / (len(demand) - position))
    return fair


if __name__ == "__main__":
    arguments.run(main)
