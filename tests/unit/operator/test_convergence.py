"""Whatever happens to a pool, wherever the operator dies: plans bring it to its spec, within its budgets."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import builders
from tests.support.model_world import ModelWorld

from kvring_contract.names import MemberState
from kvring_operator import desire
from kvring_operator import plan as plans
from kvring_operator import pod as pods
from kvring_operator.world import Machine, Pod, World

MOST_STEPS = 400
ROLLOUTS = [
    {"maxSurge": 1, "maxUnavailable": 0},
    {"maxSurge": 0, "maxUnavailable": 1},
    {"maxSurge": 2, "maxUnavailable": 1},
]

Step = Callable[[plans.Plan, World], None]


class Pool:
    """A spec, the world around it, and an operator that may die after any action."""

    def __init__(self, replicas: int, rollout: dict[str, int], num_machines: int = 2) -> None:
        self.model = ModelWorld(num_machines)
        self.replicas, self.image, self.rollout, self.deleted = replicas, 1, rollout, False
        self.clock_error_s = 0.0

    @property
    def body(self) -> dict[str, Any]:
        return builders.body(self.replicas, deleted=self.deleted, rollout=self.rollout)

    @property
    def desired(self) -> desire.Desired:
        image = pods.Image(f"kvring/node:{self.image}", "IfNotPresent")
        return builders.desired(self.replicas, image=image, deleted=self.deleted, rollout=self.rollout)

    def step(self, survives: int | None = None) -> plans.Plan:
        """Look, plan, act (the first `survives` actions only), and let a second pass."""
        world = self.model.world(self.body)
        made = plans.make(self.desired, world, self.model.now)
        self.check(made, world)
        before = ready_slots(world, made)
        self.model.apply(made.actions[:survives])
        after = ready_slots(self.model.world(self.body), made)
        assert after >= min(before, self.replicas - self.rollout["maxUnavailable"]) or self.deleted
        self.model.tick()
        return made

    def delete(self) -> None:
        self.deleted, self.model.gone = True, not self.model.finalizers

    def pod(self, number: int) -> Pod:
        pods = sorted(self.model.pods.values(), key=lambda one: one.name)
        return pods[number % len(pods)]

    def machine(self, number: int, **changes: Any) -> None:
        name = f"m{number % 2 + 1}"
        before = self.model.machines.get(name, Machine(name, ready=True))
        after = dataclasses.replace(before, **changes)
        fine = after.ready and not after.leaving
        since = None if fine else self.model.now if after != before else before.since
        self.model.machines[name] = dataclasses.replace(after, since=since)

    def mend(self) -> None:
        """Whatever keeps the pool from being as it should be is over."""
        for number in (0, 1):
            self.machine(number, ready=True, leaving="")
        self.model.held.clear()
        self.model.silent.clear()

    def check(self, made: plans.Plan, world: World) -> None:
        active = [member for member in made.ring.members if member.state is MemberState.ACTIVE]
        assert len({member.slot for member in active}) == len(active), "two members for one slot"
        assert made.ring.epoch >= (world.ring.epoch if world.ring else 0), "an epoch went back"
        assert len(made.layout.wanted) == self.desired.replicas

    def settle(self) -> int:
        """Steps until nothing is left to do."""
        for count in range(MOST_STEPS):
            made = self.step()
            if self.deleted and self.model.gone:
                return count
            if not self.deleted and not made.actions and not made.waiting and is_as_asked(self):
                return count
        raise AssertionError(f"no end in sight: {made.actions} {made.waiting}")


def ready_slots(world: World, made: plans.Plan) -> int:
    return len(
        {one.slot for one in world.pods if one.ready and one.staying and one.slot in made.layout.wanted}
    )


def is_as_asked(pool: Pool) -> bool:
    pods = pool.model.pods.values()
    fits = all(one.template_hash == pool.desired.template.hash and one.ready for one in pods)
    ring = pool.model.ring
    names = {member.pod for member in ring.members} if ring else set()
    return len(pods) == pool.replicas and fits and names == set(pool.model.pods)


def scale(pool: Pool, number: int) -> None:
    pool.replicas = number % 5


def template(pool: Pool, number: int) -> None:
    pool.image += 1


def revert(pool: Pool, number: int) -> None:
    pool.image = 1


def kill(pool: Pool, number: int) -> None:
    if pool.model.pods:
        pool.model.kill(pool.pod(number))


def relabel(pool: Pool, number: int) -> None:
    if pool.model.pods:
        chosen = pool.pod(number)
        pool.model.pods[chosen.name] = dataclasses.replace(chosen, labels={"ring": chosen.ring, "slot": "99"})


def cordon(pool: Pool, number: int) -> None:
    pool.machine(number, leaving="it is cordoned")


def uncordon(pool: Pool, number: int) -> None:
    pool.machine(number, leaving="")


def away(pool: Pool, number: int) -> None:
    pool.machine(number, ready=False)


def back(pool: Pool, number: int) -> None:
    pool.machine(number, ready=True)


def lose(pool: Pool, number: int) -> None:
    pool.model.lose(f"m{number % 2 + 1}")


def evict(pool: Pool, number: int) -> None:
    if pool.model.pods:
        pool.model.evict(pool.pod(number))


def hold(pool: Pool, number: int) -> None:
    if pool.model.pods:
        pool.model.held.add(pool.pod(number).name)


def silence(pool: Pool, number: int) -> None:
    if pool.model.pods:
        pool.model.silent.add(pool.pod(number).name)


def spoil(pool: Pool, number: int) -> None:
    """Somebody deletes the ring, the key, or a Service."""
    if number % 3 == 0:
        pool.model.key_present = False
    else:
        pool.model.children.pop([("ConfigMap", "chat-ring"), ("Service", "chat")][number % 3 - 1], None)
        pool.model.ring = pool.model.ring if number % 3 == 2 else None


def jump(pool: Pool, number: int) -> None:
    """The next leader's clock is off, otherwise than this one's."""
    error_s = (number - 3) * 40.0
    pool.model.now += error_s - pool.clock_error_s
    pool.clock_error_s = error_s


def crash(pool: Pool, number: int) -> None:
    pool.step(survives=number)


def wait(pool: Pool, number: int) -> None:
    for _ in range(number):
        pool.step()


Happening = tuple[Callable[[Pool, int], None], int]


def happenings(*kinds: Callable[[Pool, int], None]) -> st.SearchStrategy[list[Happening]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 6)), max_size=12)


PEOPLE = (scale, template, revert, kill, relabel, hold, spoil)
MACHINES = (cordon, uncordon, away, back, lose, evict, silence)
ANYTHING = happenings(*PEOPLE, *MACHINES, crash, jump, wait)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5), st.sampled_from(ROLLOUTS), ANYTHING, st.booleans())
def test_a_pool_ends_as_its_spec_asks_whatever_happened(
    replicas: int, rollout: dict[str, int], happened: list[Happening], tolerant: bool
) -> None:
    pool = Pool(replicas, rollout)
    pool.model.tolerant = tolerant
    for disturb, number in happened:
        disturb(pool, number)
    pool.mend()

    pool.settle()

    assert is_as_asked(pool)
    assert not pool.step().actions, "a settled pool is written again"


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 6),
    st.sampled_from(ROLLOUTS),
    happenings(template, revert, crash),
)
def test_roll_outs_reverts_and_crashes_keep_within_surge_and_unavailability(
    replicas: int, rollout: dict[str, int], happened: list[Happening]
) -> None:
    pool = Pool(replicas, rollout)
    pool.settle()
    for disturb, number in happened:
        disturb(pool, number)
        for _ in range(number + 1):
            pool.step()
            staying = [one for one in pool.model.pods.values() if one.staying]
            ready = {one.slot for one in staying if one.ready}
            assert len(staying) <= replicas + max(1, rollout["maxSurge"])
            assert len(ready) >= replicas - rollout["maxUnavailable"]

    pool.settle()

    assert is_as_asked(pool)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_roll_out_where_every_machine_is_full_ends_if_a_member_may_be_missing(replicas: int) -> None:
    pool = Pool(replicas, {"maxSurge": 1, "maxUnavailable": 1}, num_machines=replicas)
    pool.model.room = 1
    pool.settle()
    template(pool, 0)

    pool.settle()

    assert is_as_asked(pool)


@pytest.mark.parametrize("image", [1, 2], ids=["at the start", "in a roll-out"])
def test_a_slot_whose_pods_are_turned_away_is_tried_now_and_then_and_the_others_go_on(image: int) -> None:
    pool = Pool(3, ROLLOUTS[0])
    if image > 1:
        pool.settle()
    pool.image, before = image, pool.model.num_created
    pool.model.refused_slots = {0}

    for _ in range(60):
        pool.step()

    tried = pool.model.num_created - before
    others = 2 if image == 1 else 0  # a roll-out goes slot by slot, and this one waits for the first
    assert 3 + others <= tried <= 7 + others
    assert len({one.slot for one in pool.model.pods.values() if one.ready}) == (2 if image == 1 else 3)

    pool.model.refused_slots = set()
    pool.settle()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5), ANYTHING, st.integers(0, 8))
def test_a_deletion_always_ends(replicas: int, happened: list[Happening], survives: int) -> None:
    pool = Pool(replicas, ROLLOUTS[0])
    for disturb, number in happened:
        disturb(pool, number)
    pool.step(survives)
    pool.delete()
    pool.model.now = builders.NOW
    created = pool.model.num_created

    pool.settle()

    assert pool.model.gone
    assert created == pool.model.num_created


@pytest.mark.parametrize("trouble", [{"leaving": "it is cordoned"}, {"ready": False}], ids=["left", "away"])
@pytest.mark.parametrize("num_machines", [1, 2])
def test_pods_that_tolerate_everything_do_not_come_and_go_without_end(
    trouble: dict[str, Any], num_machines: int
) -> None:
    pool = Pool(3, ROLLOUTS[0], num_machines)
    pool.model.tolerant = True
    pool.settle()
    for number in range(num_machines):
        pool.machine(number, **trouble)
    before = pool.model.num_created

    for _ in range(200):
        pool.step()

    assert pool.model.num_created - before <= 2 * pool.replicas
    assert not pool.step().actions
