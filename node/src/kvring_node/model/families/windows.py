"""How far back each layer looks, as config.json says it."""

from collections.abc import Mapping
from typing import Any

from kvring_node.model.errors import ModelError, ModelFault

Windows = tuple[int | None, ...]

FULL, SLIDING = "full_attention", "sliding_attention"


def none(raw: Mapping[str, Any]) -> Windows:
    """For families that know no window: config.json may state one as long as it says that it is not used."""
    stated = raw.get("sliding_window") is not None
    if set(raw.get("layer_types") or ()) - {FULL} or raw.get("use_sliding_window", stated):
        raise _unsupported("of this family; choose a model with use_sliding_window false")
    return (None,) * int(raw["num_hidden_layers"])


def same(raw: Mapping[str, Any]) -> Windows:
    """The same in every layer."""
    window = raw["sliding_window"]
    if set(raw.get("layer_types") or ()) - {FULL if window is None else SLIDING}:
        raise _unsupported("in some layers of this family; choose a model without layer_types")
    return (_checked(window),) * int(raw["num_hidden_layers"])


def by_layer(raw: Mapping[str, Any]) -> Windows:
    """By `layer_types`, or from layer `max_window_layers` on."""
    num_layers = int(raw["num_hidden_layers"])
    window = _checked(raw["sliding_window"]) if raw["use_sliding_window"] else None
    first = num_layers if window is None else raw["max_window_layers"]
    kinds = raw.get("layer_types") or [FULL if i < first else SLIDING for i in range(num_layers)]
    if len(kinds) != num_layers or (window is None and SLIDING in kinds):
        raise ValueError(f"layer_types {kinds} do not fit {num_layers} layers and window {window}")
    if set(kinds) - {FULL, SLIDING}:
        raise _unsupported(f"with {', '.join(kinds)}; only {FULL} and {SLIDING} are")
    return tuple(window if kind == SLIDING else None for kind in kinds)


def _checked(window: Any) -> int | None:
    if window is not None and int(window) < 1:
        raise ValueError(f"sliding_window {window}")
    return None if window is None else int(window)


def _unsupported(which: str) -> ModelError:
    return ModelError(ModelFault.UNSUPPORTED_FEATURE, f"sliding window attention is not supported {which}")
