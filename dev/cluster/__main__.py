"""The local cluster's front door: `python -m dev.cluster up|down|status|add|partition|heal|lose|remove`."""

import argparse
import sys

from dev import failure, progress
from dev.cluster import layout, lifecycle, machines, status

ON_ONE_MACHINE = {
    "add": machines.add,
    "partition": machines.partition,
    "heal": machines.heal,
    "lose": machines.lose,
    "remove": machines.remove,
}


def main() -> int:
    """Runs one command; 0 when it did what it says, 1 with the reason and the remedy when not."""
    arguments = _parser().parse_args()
    return failure.exit_code(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            lifecycle.up(arguments.machines)
        case "down":
            if not lifecycle.down():
                print("The local cluster was down already.")
        case "status":
            text, works = status.text()
            print(text)
            return 0 if works else 1
        case command:
            with progress.step(f"{command} {arguments.machine}"):
                ON_ONE_MACHINE[command](arguments.machine)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dev.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("up", help="start the cluster, or mend it")
    starting.add_argument("--machines", type=int, default=1, choices=range(1, layout.MAX_MACHINES + 1))
    commands.add_parser("down", help="end the cluster and restore the host's settings")
    commands.add_parser("status", help="show what runs")
    for name, function in ON_ONE_MACHINE.items():
        summary = (function.__doc__ or "").splitlines()[0]
        commands.add_parser(name, help=summary).add_argument("machine")
    return parser


if __name__ == "__main__":
    sys.exit(main())
