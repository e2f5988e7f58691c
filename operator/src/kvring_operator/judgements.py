"""Each condition of an InferenceCluster, judged. Pure.

One function a condition: what is seen -> True, False or Unknown, a reason, and a message that says what to
do.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kvring_contract import api, names
from kvring_contract import status as statuses
from kvring_contract.names import Condition, MemberState
from kvring_operator import checks, members
from kvring_operator.checks import Case
from kvring_operator.events import Reason
from kvring_operator.plan import Plan

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
LEAVING = "members leave before the resource goes"


@dataclass(frozen=True)
class Verdict:
    """One condition as it stands now."""

    type: Condition
    status: str
    reason: str
    message: str


def judge(case: Case, plan: Plan) -> tuple[Verdict, ...]:
    """All conditions, `Ready` last."""
    verdicts = [
        _available(case),
        _progressing(case, plan),
        _degraded(case),
        _model_loaded(case, plan),
        _ring_converged(case, plan),
        _replication_satisfied(case, plan),
        _cache_compatible(case),
        _cache_sizing_limited(),
        *_features_pending(case),
    ]
    return (*verdicts, _ready(case, verdicts))


def invalid(why: api.ParseError) -> tuple[Verdict, ...]:
    """Conditions of a resource whose spec cannot be read; what runs is left alone."""
    message = f"{why}. Members are left as they are until it is corrected."
    return tuple(
        Verdict(kind, status, Reason.INVALID_SPEC, message)
        for kind, status in (
            (Condition.AVAILABLE, UNKNOWN),
            (Condition.PROGRESSING, FALSE),
            (Condition.DEGRADED, TRUE),
            (Condition.MODEL_LOADED, UNKNOWN),
            (Condition.RING_CONVERGED, UNKNOWN),
            (Condition.REPLICATION_SATISFIED, UNKNOWN),
            (Condition.CACHE_COMPATIBLE, UNKNOWN),
            (Condition.CACHE_SIZING_LIMITED, UNKNOWN),
            (Condition.READY, FALSE),
        )
    )


def _available(case: Case) -> Verdict:
    ready, wanted = sum(pod.ready for pod in case.staying), case.desired.replicas
    of_all = f"{ready} of {wanted} members are ready"
    if case.deleted:
        return Verdict(Condition.AVAILABLE, FALSE, Reason.DELETING, LEAVING)
    if wanted == 0:
        return Verdict(
            Condition.AVAILABLE,
            TRUE,
            Reason.SCALED_TO_ZERO,
            "no members are wanted; set spec.replicas to get answers",
        )
    if ready >= wanted:
        return Verdict(Condition.AVAILABLE, TRUE, Reason.ALL_MEMBERS_READY, of_all)
    if ready >= max(1, wanted - case.desired.max_unavailable):
        return Verdict(Condition.AVAILABLE, TRUE, Reason.ENOUGH_MEMBERS_READY, of_all)
    return Verdict(Condition.AVAILABLE, FALSE, Reason.TOO_FEW_MEMBERS_READY, of_all)


def _progressing(case: Case, plan: Plan) -> Verdict:
    if case.deleted:
        return Verdict(Condition.PROGRESSING, TRUE, Reason.DELETING, LEAVING)
    if plan.waiting or plan.layout.creations or plan.layout.dismissals:
        doing = [creation.reason for creation in plan.layout.creations]
        doing += [dismissal.reason for dismissal in plan.layout.dismissals]
        message = "; ".join([*doing, *plan.waiting][:5])
        return Verdict(Condition.PROGRESSING, TRUE, Reason.MEMBERS_CHANGING, message)
    return Verdict(Condition.PROGRESSING, FALSE, Reason.SETTLED, "all is as the spec asks")


def _degraded(case: Case) -> Verdict:
    violation = checks.first_violation(case)
    if violation is None:
        return Verdict(Condition.DEGRADED, FALSE, Reason.HEALTHY, "nothing is wrong")
    return Verdict(Condition.DEGRADED, TRUE, violation.reason, violation.message)


def _model_loaded(case: Case, plan: Plan) -> Verdict:
    loaded = {pod.slot for pod in case.staying if case.world.loaded(pod)}
    missing = sorted(set(plan.layout.wanted) - loaded)
    name = case.spec.model.served_name
    if not plan.layout.wanted:
        return Verdict(Condition.MODEL_LOADED, TRUE, Reason.SCALED_TO_ZERO, "no members are wanted")
    if not missing:
        return Verdict(Condition.MODEL_LOADED, TRUE, Reason.LOADED, f"every member has loaded {name}")
    slots = ", ".join(f"{case.desired.key.name}-{slot}" for slot in missing[:10])
    violation = checks.first_violation(case)
    if violation is not None:
        return Verdict(
            Condition.MODEL_LOADED, FALSE, violation.reason, f"{violation.message} (not loaded: {slots})"
        )
    message = f"waiting for {slots} to load {name}"
    made = [pod for pod in case.staying if pod.slot in missing and pod.container.waiting]
    if made:
        message += (
            f"; {made[0].name} is at {made[0].container.waiting}: if it stays there, an image or a volume "
            f"does not come, see: kubectl describe pod {made[0].name}"
        )
    return Verdict(Condition.MODEL_LOADED, FALSE, Reason.LOADING, message)


def _ring_converged(case: Case, plan: Plan) -> Verdict:
    ring = plan.ring
    offline = [member.slot for member in ring.members if member.state is not MemberState.ACTIVE]
    lagging = sorted(
        pod.name
        for pod in case.staying
        if members.active(ring, pod) and not members.acknowledged(case.world, pod, ring)
    )
    if lagging:
        message = (
            f"epoch {ring.epoch} is not acknowledged by {', '.join(lagging[:10])}; if that stays, see that "
            f"NetworkPolicies let the operator reach port {names.NODE_PORT}"
        )
        return Verdict(Condition.RING_CONVERGED, FALSE, Reason.EPOCH_SPREADING, message)
    if offline:
        message = (
            f"slots {', '.join(map(str, offline[:10]))} of epoch {ring.epoch} have no live pod; "
            "ModelLoaded says what keeps it"
        )
        return Verdict(Condition.RING_CONVERGED, FALSE, Reason.MEMBERS_CHANGING, message)
    message = f"every member on the ring ({len(ring.members)}) holds epoch {ring.epoch}"
    return Verdict(Condition.RING_CONVERGED, TRUE, Reason.ACKNOWLEDGED, message)


def _replication_satisfied(case: Case, plan: Plan) -> Verdict:
    factor, on_ring = case.spec.cache.replication_factor, len(plan.ring.members)
    kind = Condition.REPLICATION_SATISFIED
    if factor == 1:
        return Verdict(kind, TRUE, Reason.FACTOR_ONE, "one copy of each entry is wanted")
    if factor > on_ring:
        message = f"{factor} copies need {factor} members, and {on_ring} are on the ring: raise spec.replicas"
        return Verdict(kind, FALSE, Reason.TOO_FEW_MEMBERS, message)
    return Verdict(
        kind, FALSE, Reason.NOT_COPIED_YET, "this release keeps one copy of each entry; see FeaturesPending"
    )


def _cache_compatible(case: Case) -> Verdict:
    before = statuses.conditions_of(case.world.status).get(Condition.CACHE_COMPATIBLE)
    if case.silent and before is not None:
        return Verdict(Condition.CACHE_COMPATIBLE, before.status, before.reason, before.message)
    prints = {
        report.fingerprint
        for pod in case.staying
        if (report := case.world.report_of(pod)) is not None and report.loaded and report.fingerprint
    }
    if len(prints) > 1:
        message = (
            f"members differ in model, dtype or page size ({', '.join(sorted(prints))}): they share no "
            "pages; if no roll-out is under way, the model's files differ between machines"
        )
        return Verdict(Condition.CACHE_COMPATIBLE, FALSE, Reason.FINGERPRINTS_DIFFER, message)
    message = (
        f"all members have fingerprint {next(iter(prints))}" if prints else "no member has loaded a model yet"
    )
    return Verdict(Condition.CACHE_COMPATIBLE, TRUE, Reason.SAME_FINGERPRINT, message)


def _cache_sizing_limited() -> Verdict:
    message = "cache sizes stay at spec.cache.size.initial"
    return Verdict(Condition.CACHE_SIZING_LIMITED, FALSE, Reason.SIZING_OFF, message)


def _features_pending(case: Case) -> Iterable[Verdict]:
    if pending := api.pending_features(case.spec):
        message = f"accepted, and without effect in this release: {', '.join(pending)}"
        yield Verdict(Condition.FEATURES_PENDING, TRUE, Reason.NOT_IN_THIS_RELEASE, message)


def _ready(case: Case, verdicts: Iterable[Verdict]) -> Verdict:
    """True when every member serves and can be reached; otherwise the first condition that says why not."""
    if case.deleted:
        return Verdict(Condition.READY, FALSE, Reason.DELETING, LEAVING)
    by_type = {verdict.type: verdict for verdict in verdicts}
    ready, wanted = sum(pod.ready for pod in case.staying), case.desired.replicas
    for kind in (Condition.MODEL_LOADED, Condition.RING_CONVERGED, Condition.AVAILABLE):
        if by_type[kind].status != TRUE:
            cause = (
                by_type[Condition.DEGRADED] if by_type[Condition.DEGRADED].status == TRUE else by_type[kind]
            )
            return Verdict(Condition.READY, FALSE, cause.reason, cause.message)
    if ready < wanted:
        return Verdict(
            Condition.READY, FALSE, Reason.TOO_FEW_MEMBERS_READY, f"{ready} of {wanted} members are ready"
        )
    if case.refusals and not case.has_service:
        cause = by_type[Condition.DEGRADED]
        return Verdict(Condition.READY, FALSE, cause.reason, cause.message)
    told = "1 member serves" if wanted == 1 else f"{wanted} members serve"
    return Verdict(Condition.READY, TRUE, by_type[Condition.AVAILABLE].reason, told)
