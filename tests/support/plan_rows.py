"""What the planner's tables are made of: a sentence, a world, and the actions that it calls for, in words."""

import dataclasses
from typing import Any, NamedTuple

from tests.support.builders import NOW

from kvring_contract.names import RingLabel
from kvring_operator import actions, desire, plan
from kvring_operator.world import World

DRAINING: dict[str, Any] = {"ring": RingLabel.DRAINING.value, "draining_since": NOW - 5}
DRAINED: dict[str, Any] = {**DRAINING, "ring": RingLabel.DRAINED.value, "gate": False, "ready": False}


class Row(NamedTuple):
    sentence: str
    desired: desire.Desired
    world: World
    wanted: list[str]

    def check(self) -> None:
        assert self.wanted == words(plan.make(self.desired, self.world, NOW))


def busy(found: World, pod_name: str, num_running: int, *, draining: bool = True) -> World:
    """The same world, in which a node still has requests."""
    said = dataclasses.replace(found.reports[pod_name], num_running=num_running, draining=draining)
    return dataclasses.replace(found, reports={**found.reports, pod_name: said})


def words(made: plan.Plan) -> list[str]:
    """Actions as a person would note them."""
    return [word(action) for action in made.actions]


def word(action: actions.Action) -> str:
    match action:
        case actions.ApplyChild(manifest, _):
            return f"apply {manifest['kind']} {manifest['metadata']['name']}"
        case actions.CreatePod(manifest, _):
            return f"create {manifest['metadata']['name']}"
        case actions.PublishRing(told, _):
            return f"publish epoch {told.epoch}: " + (
                " ".join(f"{one.pod} {one.state}" for one in told.members) or "nobody"
            )
        case actions.PushRing(pod, told, _):
            return f"push epoch {told.epoch} to {pod.name}"
        case actions.SetGate(pod, value, _):
            return f"gate of {pod.name} {'opens' if value else 'closes'}"
        case actions.DeletePod(pod, force, _):
            return f"{'force-delete' if force else 'delete'} {pod.name}"
        case actions.BeginDrain(pod, _, _) | actions.AskDrain(pod, _) | actions.FinishDrain(pod, _):
            return f"{type(action).__name__} {pod.name}"
        case actions.Relabel(pod, labels, _):
            return f"relabel {pod.name} {' '.join(sorted(labels))}"
        case actions.Adopt(kind, name, _, _):
            return f"adopt {kind} {name}"
        case _:
            return type(action).__name__
