"""`spec` of an InferenceCluster, from JSON to frozen values: every default, bound and rule between fields."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeVar

from kvring_contract import overlay, quantities, reader
from kvring_contract import spec as specs
from kvring_contract.model_uri import ModelUri
from kvring_contract.reader import ParseError, Reader

T = TypeVar("T")

_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
_REVISION = reader.text(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", "a branch, tag or commit")
_SERVED_NAME = reader.text(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", "a model name such as qwen3-0.6b")
_SECRET_NAME = reader.text(rf"(?=.{{1,253}}$){_NAME}", "the name of a Secret")
_THRESHOLD = reader.text(r"0(\.[0-9]{1,4})?|1(\.0{1,4})?", 'a decimal from "0" to "1" in quotes')
_PAGE_TOKENS = (8, 16, 32, 64, 128, 256)
_TENSOR = (1, 2, 4, 8)


def parse_spec(at: Reader, name: str) -> specs.Spec:
    """Read `spec` of the resource called `name`; raises `ParseError`."""
    default = specs.Spec
    return specs.Spec(
        model=_model(at.child("model"), name),
        replicas=at.read("replicas", reader.integer(0, 1000), default.replicas),
        draft_model=_draft_model(at),
        parallelism=_parallelism(at.child("parallelism")),
        resources=_resources(at.child("resources")),
        cache=_cache(at.child("cache")),
        scheduling=_scheduling(at.child("scheduling")),
        sizing=_sizing(at.child("sizing")),
        drain=_drain(at.child("drain")),
        rollout=_rollout(at.child("rollout")),
        api_keys_secret=_optional(at.child("access"), "apiKeysSecret", _SECRET_NAME),
        template=overlay.parse(at.child("template")),
    )


def _model(at: Reader, name: str) -> specs.Model:
    return specs.Model(
        uri=at.require("uri", _uri),
        served_name=at.read("servedName", _SERVED_NAME, name),
        revision=at.read("revision", _REVISION, specs.Model.revision),
        dtype=at.read("dtype", reader.choice(specs.Dtype), specs.Model.dtype),
        max_model_len=_optional(at, "maxModelLen", reader.integer(16, 16_777_216)),
    )


def _draft_model(at: Reader) -> ModelUri | None:
    return at.child("draftModel").require("uri", _uri) if at.value.get("draftModel") is not None else None


def _parallelism(at: Reader) -> specs.Parallelism:
    default = specs.Parallelism
    return specs.Parallelism(
        tensor=at.read("tensor", reader.one_of(_TENSOR), default.tensor),
        pipeline=at.read("pipeline", reader.integer(1, 64), default.pipeline),
    )


def _resources(at: Reader) -> specs.Resources:
    resources = specs.Resources(requests=_amounts(at.child("requests")), limits=_amounts(at.child("limits")))
    for name in resources.requests.keys() & resources.limits.keys():
        if _amount(resources.requests[name]) > _amount(resources.limits[name]):
            raise ParseError(at.path, f"a request must not exceed the limit of the same name ({name})")
    return resources


def _amounts(at: Reader) -> Mapping[str, str]:
    given = [name for name, value in at.value.items() if value is not None]
    for name in given:
        at.require(name, _amount)
    return {name: str(at.value[name]) for name in given}


def _cache(at: Reader) -> specs.Cache:
    default = specs.Cache
    return specs.Cache(
        page_tokens=at.read("pageTokens", reader.one_of(_PAGE_TOKENS), default.page_tokens),
        replication_factor=at.read("replicationFactor", reader.integer(1, 8), default.replication_factor),
        virtual_nodes=at.read("virtualNodes", reader.integer(1, 65_536), default.virtual_nodes),
        eviction=at.read("eviction", reader.choice(specs.Eviction), default.eviction),
        quantization=at.read("quantization", reader.choice(specs.Quantization), default.quantization),
        size=_cache_size(at.child("size")),
        semantic=_semantic(at.child("semantic")),
    )


def _cache_size(at: Reader) -> specs.CacheSize:
    default = specs.CacheSize
    amount = reader.bounded(_bytes, specs.MI, 16 * 1024 * specs.GI, "between 1Mi and 16Ti")
    size = specs.CacheSize(
        min_bytes=at.read("min", amount, default.min_bytes),
        max_bytes=at.read("max", amount, default.max_bytes),
        initial_bytes=at.read("initial", amount, default.initial_bytes),
    )
    if not size.min_bytes <= size.initial_bytes <= size.max_bytes:
        raise ParseError(at.path, "set min <= initial <= max")
    return size


def _semantic(at: Reader) -> specs.Semantic:
    default = specs.Semantic
    return specs.Semantic(
        policy=at.read("policy", reader.choice(specs.SemanticPolicy), default.policy),
        threshold=at.read("threshold", lambda value: float(_THRESHOLD(value)), default.threshold),
        max_entries=at.read("maxEntries", reader.integer(1, 10_000_000), default.max_entries),
    )


def _scheduling(at: Reader) -> specs.Scheduling:
    default = specs.Scheduling
    return specs.Scheduling(
        strategy=at.read("strategy", reader.choice(specs.Strategy), default.strategy),
        max_batch_tokens=at.read("maxBatchTokens", reader.integer(16, 1_048_576), default.max_batch_tokens),
        max_sequences=at.read("maxSequences", reader.integer(1, 4096), default.max_sequences),
    )


def _sizing(at: Reader) -> specs.Sizing:
    default = specs.Sizing
    share = reader.bounded(_percent, 0.0, 0.9, "a percentage from 0% to 90%")
    return specs.Sizing(
        policy=at.read("policy", reader.choice(specs.SizingPolicy), default.policy),
        interval_s=at.read("interval", _duration, default.interval_s),
        reserve=at.read("reserve", share, default.reserve),
    )


def _drain(at: Reader) -> specs.Drain:
    default = specs.Drain
    bandwidth = reader.bounded(_bytes, specs.MI, 1024 * specs.GI, "between 1Mi and 1Ti")
    return specs.Drain(
        timeout_s=at.read("timeout", _duration, default.timeout_s),
        max_bandwidth_bytes=at.read("maxBandwidth", bandwidth, default.max_bandwidth_bytes),
        on_timeout=at.read("onTimeout", reader.choice(specs.OnTimeout), default.on_timeout),
    )


def _rollout(at: Reader) -> specs.Rollout:
    members = reader.integer(0, 1000)
    rollout = specs.Rollout(
        max_surge=at.read("maxSurge", members, specs.Rollout.max_surge),
        max_unavailable=at.read("maxUnavailable", members, specs.Rollout.max_unavailable),
    )
    if rollout.max_surge == rollout.max_unavailable == 0:
        raise ParseError(at.path, "set maxSurge or maxUnavailable to at least 1, or no roll-out could begin")
    return rollout


def _optional(at: Reader, name: str, parse: reader.Parse[T]) -> T | None:
    return at.require(name, parse) if at.value.get(name) is not None else None


def _uri(value: Any) -> ModelUri:
    return ModelUri.parse(_string(value))


def _amount(value: Any) -> Fraction:
    return quantities.parse_amount(_unquoted(value))


def _bytes(value: Any) -> int:
    return quantities.parse_bytes(_unquoted(value))


def _percent(value: Any) -> float:
    return quantities.parse_percent(_string(value))


def _duration(value: Any) -> float:
    seconds = quantities.parse_duration(_string(value))
    if not 1 <= seconds <= 24 * 3600:
        raise ValueError(f"{value!r} is not between 1s and 24h")
    return seconds


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    return value


def _unquoted(value: Any) -> str:
    """Kubernetes takes a quantity as a string or as a whole number."""
    return str(value) if type(value) is int else _string(value)
