"""transformers in three ways: one by one, padded batches, continuous batching."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from bench.contest.contestant import Absent, InProcess
from bench.contest.workload import Answers, Request


class Transformers(InProcess):
    """`generate` of transformers: batches in order of arrival, padded on the left to their longest prompt."""

    def __init__(self, model: Any, batch_size: int):
        self._model = model
        self._batch_size = batch_size

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """Greedy, never ending early."""
        answers: Answers = []
        for first in range(0, len(requests), self._batch_size):
            batch = requests[first : first + self._batch_size]
            width = max(len(request.prompt) for request in batch)
            ids = torch.tensor([[0] * (width - len(request.prompt)) + request.prompt for request in batch])
            mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in batch])
            steps = max(request.max_tokens for request in batch)
            output = self._model.generate(
                ids.to(self._model.device), attention_mask=mask.to(self._model.device), max_new_tokens=steps
            )
            answers += [
                row[width : width + request.max_tokens].tolist()
                for row, request in zip(output, batch, strict=True)
            ]
        return answers


class ContinuousBatching(InProcess):
    """Continuous batching of transformers: paged attention, all requests at once, pages made once.

    Its thread ends with each turn, so that it does not look for work in others' turns.
    """

    def __init__(self, folder: Path, device: str, num_cached_tokens: int, max_batch_tokens: int):
        self._model = load(folder, device, attn_implementation="sdpa")
        config = transformers.ContinuousBatchingConfig(max_batch_tokens=max_batch_tokens)
        config.num_blocks = max(1, num_cached_tokens // config.page_size)
        greedy = transformers.GenerationConfig(do_sample=False, pad_token_id=0, eos_token_id=-1)
        self._manager = self._model.init_continuous_batching(greedy, config)
        self._manager.warmup()

    @torch.no_grad()
    def __call__(self, requests: Sequence[Request]) -> Answers:
        """Greedy, never ending early.

        Raises:
            Absent: a request failed, or its thread has ended before its answers were there.
        """
        answers: dict[str, list[int]] = {}
        self._manager.start()
        try:
            names = [self._manager.add_request(one.prompt, max_new_tokens=one.max_tokens) for one in requests]
            while len(answers) < len(names):
                result = self._manager.get_result(timeout=1)
                if result is not None and result.error is not None:
                    raise Absent(f"a request failed: {result.error}")
                if result is not None and result.is_finished():
                    answers[result.request_id] = result.generated_tokens
                elif result is None and not self._manager.is_running():
                    raise Absent(f"it answered {len(answers)} of {len(names)} requests; see its words above")
        finally:
            self._manager.stop(keep_for_next_session=True, hard_stop=len(answers) < len(requests))
        return [answers[name] for name in names]


def load(folder: Path, device: str, **options: Any) -> Any:
    """The same weights; greedy, never ending early."""
    try:
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    except (OSError, ValueError) as error:
        raise Absent(f"transformers {transformers.__version__} cannot load the model: {error}") from error
    model = model.to(device).eval()
    model.generation_config = transformers.GenerationConfig(do_sample=False, pad_token_id=0)
    return model
