"""Our engine in this process, by its own steps."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from bench import arguments
from bench.contest.contestant import InProcess
from bench.contest.workload import Answers, Limits, Request

from kvring_node import assembly
from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit
from kvring_node.model import config as model_config
from kvring_node.model.config import ModelConfig
from kvring_node.model.errors import ModelError
from kvring_node.pages.store import PageShape

PAGE_TOKENS = 16


def folder(text: str) -> Path:
    """An argument: a model that we can read."""
    try:
        model_config.read(Path(text))
    except ModelError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    return Path(text)


def load(model: Path, **options: Any) -> Engine:
    """The engine; a model that cannot be loaded ends the bench."""
    try:
        return assembly.load_engine(model, **options)
    except ModelError as error:
        arguments.refuse(f"{model}: {error.message}")


def num_cached_tokens(config: ModelConfig, cache_bytes: int) -> int:
    """How many tokens' keys and values a cache of this size holds in float32."""
    shape = PageShape(config.num_layers, PAGE_TOKENS, config.num_kv_heads, config.head_dim, torch.float32)
    return cache_bytes // shape.page_bytes * PAGE_TOKENS


def limits(config: ModelConfig, cache_bytes: int) -> Limits:
    """What requests must keep to in float32, with a KV cache of this size."""
    return Limits(config.vocab_size, min(config.max_positions, num_cached_tokens(config, cache_bytes)))


class Ours(InProcess):
    """Remembers how much of its time its model took, and its runner.

    The runner is the model with what feeds it: index arrays before, drawing tokens after.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._total_s, self._num_steps = 0.0, 0
        self._on_gpu = engine.loaded.device.startswith("cuda")
        # A thread's own time: neighbours do not count. It says nothing of a GPU's.
        self._clock = time.perf_counter if self._on_gpu else time.thread_time
        runner = engine._runner
        self._runner_s = self._timed(runner, "run")
        transformer = runner._transformer  # type: ignore[attr-defined]  # the port shows no model
        self._model_s = [self._timed(transformer, "forward"), self._timed(transformer, "head")]

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """All requests at once, none of them seen before."""
        self._engine.forget_prefixes()
        answers: Answers = [[] for _ in requests]
        for index, request in enumerate(requests):
            params = SamplingParams(max_tokens=request.max_tokens, temperature=0, ignore_eos=True)
            refused = self._engine.add(Submit(str(index), request.prompt, params))
            if refused is not None:
                arguments.refuse(f"request {index}: {refused.message}")
        started_at = self._clock()
        while self._engine.has_work:
            for message in self._engine.step():
                answers[int(message.request_id)] += message.token_ids
            self._num_steps += 1
        self._total_s += self._clock() - started_at
        return answers

    def outside(self) -> dict[str, dict[str, float]]:
        """What a step takes outside the model, and outside the runner: schedule, lay out, commit, emit.

        On a GPU the model's calls return before it has computed, so only the runner's time is known.
        """
        found = {"outside_the_runner": self._left_of(self._runner_s())}
        if not self._on_gpu:
            found["outside_the_model"] = self._left_of(sum(took_s() for took_s in self._model_s))
        return found

    def _left_of(self, inside_s: float) -> dict[str, float]:
        outside_s = self._total_s - inside_s
        return {
            "share": round(outside_s / self._total_s, 4),
            "us_per_step": round(1e6 * outside_s / self._num_steps, 1),
        }

    def _timed(self, owner: Any, name: str) -> Callable[[], float]:
        """Counts the seconds of a method; what it returns tells them."""
        method, taken_s = getattr(owner, name), 0.0

        def timed(*given: Any) -> Any:
            nonlocal taken_s
            started_at = self._clock()
            result = method(*given)
            taken_s += self._clock() - started_at
            return result

        setattr(owner, name, timed)
        return lambda: taken_s
