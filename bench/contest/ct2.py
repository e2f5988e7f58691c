"""CTranslate2's generator in float32."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import tokenizers
import transformers
from bench.contest.contestant import Absent, InProcess
from bench.contest.workload import Answers, Request
from ctranslate2.converters import TransformersConverter

CONFIGS = ("config.json", "generation_config.json", "model.safetensors.index.json")


class CTranslate2(InProcess):
    """All requests at once, grouped as it likes; one length of answer."""

    def __init__(self, folder: Path, device: str, num_threads: int):
        if device == "cuda" and not ctranslate2.get_cuda_device_count():
            raise Absent(f"CTranslate2 {ctranslate2.__version__} finds no CUDA device")
        with tempfile.TemporaryDirectory() as converted:
            _convert(folder, Path(converted))
            self._generator = ctranslate2.Generator(
                converted, device=device, compute_type="float32", intra_threads=num_threads
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


def _convert(folder: Path, converted: Path) -> None:
    """With a vocabulary in which token 7 is spelled "7", so that ids go in and out as they are."""
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    with tempfile.TemporaryDirectory() as spelled:
        for file in folder.iterdir():
            if file.name in CONFIGS or file.suffix == ".safetensors":
                (Path(spelled) / file.name).symlink_to(file.resolve())
        _numbers(size).save_pretrained(spelled)
        try:
            TransformersConverter(spelled).convert(str(converted), force=True)
        except (NotImplementedError, ValueError) as error:
            raise Absent(f"CTranslate2 {ctranslate2.__version__} cannot take the model: {error}") from error


def _numbers(size: int) -> Any:
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({str(i): i for i in range(size)}, unk_token="0"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="0", bos_token="1", eos_token="0"
    )
