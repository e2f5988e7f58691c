"""Who takes part in bench.throughput: ours first, then the peers that can."""

import argparse
import contextlib
import importlib.metadata
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.contest import ours, served
from bench.contest.contestant import Absent, Contestant
from bench.contest.served import Conditions, Served
from bench.contest.workload import Request

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
        Absent: ours cannot take part.
    """
    met = LineUp(versions={"torch": importlib.metadata.version("torch")})
    met.contestants["kvring"] = _ours(options.http, given, logs, stack)
    met.contestants["kvring"](warm_up)
    for name in options.peers:
        try:
            one = _peer(name, options.vllm_python, given, met.versions, logs)
            if isinstance(one, Served):
                stack.callback(one.close)
            one(warm_up)
            met.contestants[name] = one
        except (Absent, ImportError) as error:
            met.skipped[name] = str(error)
            print(f"{name:14} skipped: {error}", file=sys.stderr)
    return met


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


def _peer(
    name: str, vllm_python: Path, given: Conditions, versions: dict[str, str], logs: Path
) -> Contestant:
    """Peers are imported when they are asked for: not everybody has all of them."""
    if name == "vllm":
        versions["vllm"] = served.vllm_version(vllm_python, given.device)
        return served.vllm(vllm_python, given, logs / name)
    if name == "ct2":
        from bench.contest import ct2

        versions["ctranslate2"] = importlib.metadata.version("ctranslate2")
        return ct2.CTranslate2(given.folder, given.device, given.num_threads)
    from bench.contest import hf

    versions["transformers"] = importlib.metadata.version("transformers")
    if name == "hf-cb":
        return hf.ContinuousBatching(given.folder, given.device)
    size = 1 if name == "hf-single" else int(name.removeprefix("hf-padded-"))
    return hf.Transformers(hf.load(given.folder, given.device), size)
