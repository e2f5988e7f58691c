"""What can be wrong with a model, said so that a user can mend it."""

from enum import StrEnum


class ModelFault(StrEnum):
    """CamelCase reasons; they end up in `LoadFailed`, the termination log and the condition `ModelLoaded`."""

    NOT_FOUND = "ModelNotFound"
    INCOMPLETE = "ModelIncomplete"
    CORRUPT = "ModelCorrupt"
    UNSUPPORTED_FAMILY = "UnsupportedFamily"
    UNSUPPORTED_FEATURE = "UnsupportedFeature"
    UNSAFE_FORMAT = "UnsafeFormat"
    NO_DEVICE = "DeviceNotFound"
    NO_MEMORY = "InsufficientMemory"


class ModelError(Exception):
    """The model cannot be loaded. `message` says what is wrong and what to do about it."""

    def __init__(self, reason: ModelFault, message: str):
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
