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
    """`generate_batch` of transformers: paged attention, all requests at once, one length of answer."""

    def __init__(self, folder: Path, device: str):
        self._model = load(folder, device, attn_implementation="paged|sdpa")

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """Greedy, never ending early."""
        longest = max(request.max_tokens for request in requests)
        config = transformers.GenerationConfig(
            do_sample=False, pad_token_id=0, eos_token_id=-1, max_new_tokens=longest
        )
        outputs = self._model.generate_batch([r.prompt for r in requests], generation_config=config)
        answers = [output.generated_tokens for output in outputs.values()]
        if len(answers) < len(requests):
            raise Absent(f"it answered {len(answers)} of {len(requests)} requests; see its words above")
        return [answer[: request.max_tokens] for answer, request in zip(answers, requests, strict=True)]


def load(folder: Path, device: str, **options: Any) -> Any:
    """The same weights; greedy, never ending early."""
    try:
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    except (OSError, ValueError) as error:
        raise Absent(f"transformers {transformers.__version__} cannot load the model: {error}") from error
    model = model.to(device).eval()
    model.generation_config = transformers.GenerationConfig(do_sample=False, pad_token_id=0)
    return model
