"""Every reason that an Event or a condition may carry.

Nothing else may spell one; users and alerts match on them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """CamelCase words in `kubectl describe` and in conditions."""

    # what was done
    MEMBER_CREATED = "MemberCreated"
    MEMBER_LEAVING = "MemberLeaving"
    MEMBER_LEFT = "MemberLeft"
    DRAIN_TIMED_OUT = "DrainTimedOut"
    RING_TURNED = "RingTurned"
    CHILD_HEALED = "ChildHealed"
    LABELS_HEALED = "LabelsHealed"

    # conditions as they should be
    ALL_MEMBERS_READY = "AllMembersReady"
    ENOUGH_MEMBERS_READY = "EnoughMembersReady"
    SCALED_TO_ZERO = "ScaledToZero"
    SETTLED = "Settled"
    HEALTHY = "Healthy"
    LOADED = "Loaded"
    ACKNOWLEDGED = "Acknowledged"
    FACTOR_ONE = "FactorOne"
    SAME_FINGERPRINT = "SameFingerprint"
    SIZING_OFF = "SizingOff"

    # conditions on the way
    MEMBERS_CHANGING = "MembersChanging"
    TOO_FEW_MEMBERS_READY = "TooFewMembersReady"
    LOADING = "Loading"
    EPOCH_SPREADING = "EpochSpreading"
    TOO_FEW_MEMBERS = "TooFewMembers"
    NOT_COPIED_YET = "NotCopiedYet"
    FINGERPRINTS_DIFFER = "FingerprintsDiffer"
    NOT_IN_THIS_RELEASE = "NotInThisRelease"
    DELETING = "Deleting"

    # what is wrong
    INVALID_SPEC = "InvalidSpec"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_SECURITY_REFUSED = "PodSecurityRefused"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    NAME_TAKEN = "NameTaken"
    REFUSED = "Refused"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    OUT_OF_MEMORY = "OutOfMemory"
    CRASH_LOOPING = "CrashLooping"
    CONTAINER_CANNOT_START = "ContainerCannotStart"
    VOLUME_CLAIM_MISSING = "VolumeClaimMissing"
    UNSCHEDULABLE = "Unschedulable"
    EVICTED = "Evicted"
    DRAIN_BLOCKED = "DrainBlocked"
    MACHINE_AWAY = "MachineAway"


@dataclass(frozen=True)
class Note:
    """An Event about an InferenceCluster."""

    reason: str
    message: str
    warning: bool = False
