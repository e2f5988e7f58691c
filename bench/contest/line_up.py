"""Who takes part in bench.throughput: ours first, then the peers that can."""

import argparse
import contextlib
import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import arguments
from bench.contest import ours, served, vllm_python
from bench.contest.contestant import Absent, Contestant
from bench.contest.served import Conditions, Served
from bench.contest.workload import Request

from kvring_node.model import config as model_config

PEERS = "hf-single, hf-padded-N, hf-cb, ct2, vllm"


@dataclass
class LineUp:
    """Contestants by name, ours first; peers that cannot take part, with the reason; versions of the rest."""

    contestants: dict[str, Contestant] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def peer(text: str) -> str:
    """An argument: the name of a peer."""
    if not re.fullmatch(r"hf-single|hf-padded-[1-9]\d{0,5}|hf-cb|ct2|vllm", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {PEERS}")
    return text


def meet(
    options: argparse.Namespace,
    given: Conditions,
    warm_up: Sequence[Request],
    logs: Path,
    stack: contextlib.ExitStack,
) -> LineUp:
    """Starts everybody and lets them answer a few requests; `stack` ends them.

    Raises:
        Absent: ours cannot take part, or no peer can.
    """
    met = LineUp(versions={"torch": importlib.metadata.version("torch")})
    arguments.tell("kvring loads the model")
    met.contestants["kvring"] = _ours(options.http, given, logs, stack)
    met.contestants["kvring"](warm_up)
    for name in dict.fromkeys(options.peers):
        arguments.tell(f"{name} loads the model")
        try:
            one = _peer(name, options.vllm_python, given, met.versions, logs)
            if isinstance(one, Served):
                stack.callback(one.close)
            one(warm_up)
            met.contestants[name] = one
        except Exception as error:  # a peer on a stranger's model may fail in any way: the others go on
            met.skipped[name] = _why(error)
            arguments.tell(f"{name} is skipped: {met.skipped[name]}")
    if len(met.contestants) == 1:
        raise Absent("nobody is left to compare with; name other --peers")
    return met


def _why(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"{error}; `make venv` installs it"
    return str(error) if isinstance(error, Absent) else f"{type(error).__name__}: {error}"


def _ours(http: bool, given: Conditions, logs: Path, stack: contextlib.ExitStack) -> Contestant:
    if http:
        node = served.node(given, logs / "node")
        stack.callback(node.close)
        return node
    engine = ours.load(
        given.folder,
        device=given.device,
        dtype="float32",
        num_threads=given.num_threads,
        max_num_sequences=given.max_num_sequences,
        max_batch_tokens=given.max_batch_tokens,
        kv_bytes=given.cache_bytes,
    )
    return ours.Ours(engine)


def _peer(name: str, python: Path, given: Conditions, versions: dict[str, str], logs: Path) -> Contestant:
    """Peers are imported when they are asked for: not everybody has all of them."""
    if name == "vllm":
        versions["vllm"] = vllm_python.version(python, given.device)
        return served.vllm(python, given, logs / name)
    if name == "ct2":
        from bench.contest import ct2

        versions["ctranslate2"] = importlib.metadata.version("ctranslate2")
        return ct2.CTranslate2(given.folder, given.device, given.num_threads)
    from bench.contest import hf

    versions["transformers"] = importlib.metadata.version("transformers")
    if name == "hf-cb":
        num_tokens = ours.num_cached_tokens(model_config.read(given.folder), given.cache_bytes)
        return hf.ContinuousBatching(given.folder, given.device, num_tokens, given.max_batch_tokens)
    size = 1 if name == "hf-single" else int(name.removeprefix("hf-padded-"))
    return hf.Transformers(hf.load(given.folder, given.device), size)
