"""World x Plan -> status and conditions, and what is worth an Event. Pure. `Ready` follows from the others.

Nothing in it ticks: two reports of an unchanged pool are equal, so an idle pool is never written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kvring_contract import api, names
from kvring_contract import status as statuses
from kvring_contract.api import Key
from kvring_contract.names import Condition, MemberState
from kvring_contract.wire import NodeReport
from kvring_operator import checks, judgements, moments
from kvring_operator.events import Note
from kvring_operator.judgements import Verdict
from kvring_operator.plan import Plan
from kvring_operator.world import Pod, World

MOST_MESSAGE = 4096
"""What the CRD allows in a condition's message."""


@dataclass(frozen=True)
class Report:
    """The status as JSON, and the Events that its difference to the last one is worth."""

    status: Mapping[str, Any]
    notes: tuple[Note, ...]


def make(case: checks.Case, plan: Plan) -> Report:
    """What is true now of a pool whose spec could be read."""
    world = case.world
    verdicts = judgements.judge(case, plan)
    serving = [pod for pod in world.pods if pod.staying]
    reports = [report for pod in serving if (report := world.report_of(pod)) is not None]
    status = statuses.Status(
        observed_generation=world.metadata.generation,
        replicas=len(serving),
        wanted_replicas=case.desired.replicas,
        ready_replicas=sum(pod.ready for pod in serving),
        replication_factor=case.spec.cache.replication_factor,
        selector=f"{names.LABEL_CLUSTER}={case.desired.key.name}",
        served_name=case.spec.model.served_name,
        url=url(case.desired.key),
        ring=_ring(plan, world),
        cache=_cache(reports, case),
        members=tuple(_member(case, plan, slot) for slot in plan.layout.wanted),
        conditions=_conditions(verdicts, world, case.now),
    )
    rendered = _with_last_figures(statuses.render(status), case) if case.silent else statuses.render(status)
    return Report(rendered, tuple(_news(verdicts, world)))


def _with_last_figures(status: Mapping[str, Any], case: checks.Case) -> Mapping[str, Any]:
    """Figures as they were last told, where a member did not tell its own: else a lost packet is a write."""
    last = case.world.status
    if "cache" not in last:
        return status
    before = {entry["name"]: entry for entry in last.get("members", ())}
    members = [
        entry | _of(old, "used", "target")
        if entry["pod"] in case.silent and (old := before.get(entry["name"], {})).get("pod") == entry["pod"]
        else entry
        for entry in status["members"]
    ]
    columns = _of(last.get("columns", {}), "hitPercent", "cache")
    return {**status, "cache": last["cache"], "columns": status["columns"] | columns, "members": members}


def _of(last: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    """Those that are there: the CRD requires none of them, and others may write a status, too."""
    return {name: last[name] for name in fields if name in last}


def invalid(world: World, why: api.ParseError, now: float) -> Report:
    """What is true of a resource whose spec cannot be read: its last status, and why nothing happens."""
    verdicts = judgements.invalid(why)
    rendered = [statuses.render_condition(condition) for condition in _conditions(verdicts, world, now)]
    status = {**world.status, "observedGeneration": world.metadata.generation, "conditions": rendered}
    return Report(status, tuple(_news(verdicts, world)))


def url(key: Key) -> str:
    """Where clients inside the Kubernetes cluster find the pool."""
    return f"http://{key.name}.{key.namespace}.svc"


def _ring(plan: Plan, world: World) -> statuses.Ring:
    leaving = sum(pod.leaving and not pod.deleting for pod in world.pods)
    return statuses.Ring(plan.ring.epoch, plan.ring.checksum, len(plan.ring.members), migrating=leaving)


def _cache(reports: list[NodeReport], case: checks.Case) -> statuses.Cache:
    asked = sum(report.prefix_queries_tokens for report in reports)
    hits = sum(report.prefix_hits_tokens for report in reports)
    return statuses.Cache(
        hit_rate=hits / asked if asked else None,
        used_bytes=sum(report.cache_used_bytes for report in reports),
        target_bytes=sum(report.cache_total_bytes for report in reports),
    )


def _member(case: checks.Case, plan: Plan, slot: int) -> statuses.Member:
    on_ring = next((member for member in plan.ring.members if member.slot == slot), None)
    pods = [pod for pod in case.world.pods if pod.slot == slot and pod.staying]
    pod = next((pod for pod in pods if on_ring and pod.name == on_ring.pod), None) or _newest(pods)
    report = case.world.report_of(pod) if pod else None
    return statuses.Member(
        name=f"{case.desired.key.name}-{slot}",
        state=on_ring.state if on_ring else MemberState.JOINING,
        pod=pod.name if pod else "",
        machine=pod.machine if pod else "",
        used_bytes=report.cache_used_bytes if report else 0,
        target_bytes=report.cache_total_bytes if report else case.spec.cache.size.initial_bytes,
    )


def _newest(pods: list[Pod]) -> Pod | None:
    return max(pods, key=lambda pod: pod.incarnation, default=None)


def _conditions(verdicts: Iterable[Verdict], world: World, now: float) -> tuple[statuses.Condition, ...]:
    before = statuses.conditions_of(world.status)
    return tuple(
        statuses.Condition(
            type=verdict.type,
            status=verdict.status,
            reason=verdict.reason,
            message=verdict.message[:MOST_MESSAGE],
            observed_generation=world.metadata.generation,
            last_transition_at=_since(before.get(verdict.type), verdict, now),
        )
        for verdict in verdicts
    )


def _since(before: statuses.Condition | None, verdict: Verdict, now: float) -> str:
    if before is not None and before.status == verdict.status:
        return before.last_transition_at
    return moments.render(now)


def _news(verdicts: Iterable[Verdict], world: World) -> Iterable[Note]:
    """An Event when readiness turns, and when something new is wrong."""
    before = statuses.conditions_of(world.status)
    for verdict in verdicts:
        old = before.get(verdict.type)
        changed = old is None or (old.status, old.reason) != (verdict.status, verdict.reason)
        if verdict.type is Condition.DEGRADED and changed and verdict.status == "True":
            yield Note(verdict.reason, verdict.message, warning=True)
        if (
            verdict.type is Condition.READY
            and verdict.status == "True"
            and (old is None or old.status != "True")
        ):
            yield Note(verdict.reason, verdict.message)
