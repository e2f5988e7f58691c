"""Contestants in this process: our engine, transformers in three ways, CTranslate2."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from bench.contest.workload import Answers, Request

from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit


class Ours:
    """Our engine, by its own steps; remembers how much of its time the model took."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._model_s = self._total_s = 0.0
        self._num_steps = 0
        transformer = engine._runner._transformer  # type: ignore[attr-defined]  # the port shows no model
        for name in ("forward", "head"):
            setattr(transformer, name, self._timed(getattr(transformer, name)))

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """All requests at once, none of them seen before."""
        self._engine.forget_prefixes()
        answers: Answers = [[] for _ in requests]
        for index, request in enumerate(requests):
            params = SamplingParams(max_tokens=request.max_tokens, temperature=0, ignore_eos=True)
            refused = self._engine.add(Submit(str(index), request.prompt, params))
            if refused is not None:
                sys.exit(f"request {index}: {refused.message}")
        started_at = time.thread_time()
        while self._engine.has_work:
            for message in self._engine.step():
                answers[int(message.request_id)] += message.token_ids
            self._num_steps += 1
        self._total_s += time.thread_time() - started_at
        return answers

    def cpu_s(self) -> float:
        """Processor time used so far."""
        return time.process_time()

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started_at = time.thread_time()
            result = function(*arguments)
            self._model_s += time.thread_time() - started_at
            return result

        return timed

    def outside(self) -> dict[str, float]:
        """What a step takes outside the model, in time of its own thread."""
        outside_s = self._total_s - self._model_s
        return {
            "share": round(outside_s / self._total_s, 4),
            "us_per_step": round(1e6 * outside_s / self._num_steps, 1),
        }


class Transformers:
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

    def cpu_s(self) -> float:
        """Processor time used so far."""
        return time.process_time()


class ContinuousBatching:
    """`generate_batch` of transformers: paged attention, all requests at once, one length of answer."""

    def __init__(self, folder: Path):
        self._model = load_transformers(folder, "cpu", attn_implementation="paged|sdpa")

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """Greedy, never ending early."""
        longest = max(request.max_tokens for request in requests)
        config = transformers.GenerationConfig(
            do_sample=False, pad_token_id=0, eos_token_id=-1, max_new_tokens=longest
        )
        outputs = self._model.generate_batch([r.prompt for r in requests], generation_config=config)
        answers = [output.generated_tokens for output in outputs.values()]
        return [answer[: request.max_tokens] for answer, request in zip(answers, requests, strict=True)]

    def cpu_s(self) -> float:
        """Processor time used so far."""
        return time.process_time()


class CTranslate2:
    """CTranslate2's generator in float32: all requests at once, grouped as it likes."""

    def __init__(self, folder: Path, num_threads: int):
        import ctranslate2

        with tempfile.TemporaryDirectory() as converted:
            _convert(folder, Path(converted))
            self._generator = ctranslate2.Generator(
                str(converted), device="cpu", compute_type="float32", intra_threads=num_threads
            )

    def __call__(self, requests: Sequence[Request]) -> Answers:
        """Greedy, never ending early; tokens are spelled by their ids."""
        longest = max(request.max_tokens for request in requests)
        results = self._generator.generate_batch(
            [[str(i) for i in request.prompt] for request in requests],
            max_length=longest,
            min_length=longest,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=[],
        )
        return [
            [int(token) for token in result.sequences[0][: request.max_tokens]]
            for result, request in zip(results, requests, strict=True)
        ]

    def cpu_s(self) -> float:
        """Processor time used so far."""
        return time.process_time()


def load_transformers(folder: Path, device: str, **options: Any) -> Any:
    """The same weights; greedy, never ending early."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    model = model.to(device).eval()
    model.generation_config = transformers.GenerationConfig(do_sample=False, pad_token_id=0)
    return model


def _convert(folder: Path, converted: Path) -> None:
    """With a vocabulary in which token 7 is spelled "7", so that ids go in and out as they are."""
    from ctranslate2.converters import TransformersConverter

    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    with tempfile.TemporaryDirectory() as spelled:
        for file in folder.glob("*"):
            if file.name in ("config.json", "generation_config.json") or file.suffix == ".safetensors":
                shutil.copy(file, spelled)
        tokenizer = _numbers(size)
        tokenizer.save_pretrained(spelled)
        TransformersConverter(spelled).convert(str(converted), force=True)


def _numbers(size: int) -> Any:
    import tokenizers

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({str(i): i for i in range(size)}, unk_token="0"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="0", bos_token="1", eos_token="0"
    )
