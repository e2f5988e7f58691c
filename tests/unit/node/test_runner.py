"""The runner's own part: what it keeps in memory at once."""

from pathlib import Path

import torch
from tests.support import tiny_models

from kvring_node import loading
from kvring_node.batch import Batch, Draw
from kvring_node.engine.options import EngineOptions
from kvring_node.messages import SamplingParams
from kvring_node.model import config
from kvring_node.model.parts import Parts
from kvring_node.model.transformer import Transformer
from kvring_node.pages.store import PageStore
from kvring_node.runner import TorchRunner


class Watched(Transformer):
    """The same transformer; remembers how many rows became logits at a time."""

    def __init__(self, inner: Transformer) -> None:
        vars(self).update(vars(inner))
        self.num_rows: list[int] = []

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        self.num_rows.append(len(hidden))
        return super().head(hidden)


def parts_of(folder: Path) -> tuple[Transformer, Parts, PageStore]:
    options = EngineOptions(model=str(folder), dtype="float32", kv_bytes=1 << 20, page_tokens=8)
    made = loading.load(options, config.read(folder)).runner
    assert isinstance(made, TorchRunner)
    return made._transformer, made._parts, made._store


def test_many_answers_to_one_prompt_become_logits_a_few_at_a_time(tmp_path: Path) -> None:
    tiny_models.qwen3(tmp_path)
    transformer, parts, store = parts_of(tmp_path)
    asked = [SamplingParams(temperature=0), SamplingParams(logprobs=2), SamplingParams(top_p=0.5)]
    draws = [Draw(4, asked[number % 3], seed=number, number=0) for number in range(7)]
    batch = Batch([1, 2, 3, 4, 5], [0], [5], [[0]], draws)

    def drawn(rows_at_once: int) -> tuple[object, list[int]]:
        watched = Watched(transformer)
        bound = rows_at_once * 4 * transformer.vocab_size
        runner = TorchRunner(watched, parts, store, torch.device("cpu"), logits_bytes=bound)
        return runner.run(batch), watched.num_rows

    together, at_once = drawn(100)
    assert at_once == [7]
    assert drawn(3) == (together, [3, 3, 1])
    assert drawn(0) == (together, [1] * 7), "never none at all"
