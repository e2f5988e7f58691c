"""A change of the template replaces members slot by slot, new before old, and no stream fails."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from dev import paths
from tests.support import kube, poll, pools, traffic

pytestmark = pytest.mark.cluster

ROLLED_S = 240.0


@dataclass
class Watcher:
    """Looks at the pods at every poll of a wait, and remembers the least and the most that it saw."""

    pool: pools.Pool
    least_ready: int = 99
    most_pods: int = 0
    slots_surged: list[str] = field(default_factory=list)

    def look(self) -> kube.Object:
        pods = self.pool.pods()
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        self.least_ready = min(self.least_ready, sum(map(_serves, living)))
        self.most_pods = max(self.most_pods, len(living))
        slots = [pod["metadata"]["labels"]["kvring.dev/slot"] for pod in living]
        for slot in {slot for slot in slots if slots.count(slot) > 1} - set(self.slots_surged):
            self.slots_surged.append(slot)
        return self.pool.resource()


def _serves(pod: kube.Object) -> bool:
    return kube.condition_of(pod, "Ready").get("status") == "True"


def annotated(value: str) -> kube.Object:
    """A template that differs in an annotation."""
    return {"template": {"metadata": {"annotations": {"example.com/version": value}}}}


def rolled(pool: pools.Pool, old: set[str]) -> Callable[[kube.Object], bool]:
    """Whether all pods are new ones, and all is quiet."""

    def accept(found: kube.Object) -> bool:
        return pools.settled(found, 2) and not old & {pod["metadata"]["name"] for pod in pool.pods()}

    return accept


def test_an_upgrade_rolls_slot_by_slot_while_streams_go_on(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "replicas": 2}).wait_ready(2)
    pool.ask_until_answered()
    old, watcher = set(pool.staying()), Watcher(pool)
    with traffic.flowing(pool, paths.kubeconfig()) as seen:
        seen.flows(3)
        pool.edit(annotated("2"))
        pool.until(watcher.look, rolled(pool, old), "both members are new", ROLLED_S)
        seen.flows(3)
    assert not seen.failures
    assert watcher.least_ready == 2, "a member left before its successor served"
    assert watcher.most_pods == 3, "maxSurge is 1"
    assert watcher.slots_surged == ["0", "1"]
    assert set(pool.staying()) == {"chat-0-2", "chat-1-2"}


def test_a_change_of_mind_in_the_middle_keeps_what_serves(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "replicas": 2}).wait_ready(2)
    old, watcher = set(pool.staying()), Watcher(pool)
    pool.edit(annotated("2"))
    pool.until(watcher.look, lambda _: watcher.most_pods == 3, "the first surge is made")
    pool.edit({"template": None})
    pool.until(
        watcher.look,
        lambda found: pools.settled(found, 2) and {pod["metadata"]["name"] for pod in pool.pods()} == old,
        "the old members alone serve",
    )
    assert watcher.least_ready == 2


def test_a_broken_template_stops_at_its_first_member_and_goes_on_when_corrected(pool: pools.Pool) -> None:
    pool.apply({**pools.SMALL, "replicas": 2}).wait_ready(2)
    old, watcher = set(pool.staying()), Watcher(pool)
    pool.edit({"model": {"uri": "pvc://models/no-such-folder"}})
    pool.wait_reason("Degraded", "ModelNotFound")
    with pytest.raises(poll.NeverHappened):
        poll.until(
            watcher.look, lambda _: watcher.least_ready < 2, what="a serving member is lost", within_s=10
        )
    assert old < set(pool.staying())
    pool.ask_until_answered()

    pool.edit({"model": {"uri": pools.SMALL["model"]["uri"]}})
    pool.until(watcher.look, lambda found: pools.settled(found, 2), "all is quiet again")
    assert set(pool.staying()) == old
    assert watcher.least_ready == 2
