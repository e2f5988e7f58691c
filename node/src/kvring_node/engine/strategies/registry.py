"""The strategies by the names that `spec.scheduling.strategy` uses."""

from collections.abc import Callable

from kvring_node.engine.ports import Strategy
from kvring_node.engine.strategies import fairness, fcfs, priority, sla

STRATEGIES: dict[str, Callable[[Callable[[], float]], Strategy]] = {
    "FCFS": fcfs.make,
    "Priority": priority.make,
    "SLA": sla.Deadlines,
    "Fairness": fairness.Fairness,
}
