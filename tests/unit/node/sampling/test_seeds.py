"""A seed gives one text through the engine: alone, in a crowd, in forks, in chunks, after preemptions."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import torch
from tests.support import tiny_models

from kvring_node import assembly
from kvring_node.engine.engine import Engine
from kvring_node.messages import SamplingParams, Submit

PAGE_BYTES = 16 * 2 * 2 * 2 * 16 * 4

ASKED = {
    "hot": SamplingParams(temperature=1.5, seed=1),
    "a nucleus": SamplingParams(top_p=0.7, seed=2),
    "the likeliest": SamplingParams(top_k=5, top_p=0.9, seed=3),
    "min_p": SamplingParams(min_p=0.05, temperature=2.0, seed=4),
    "penalties": SamplingParams(
        repetition_penalty=1.4, presence_penalty=0.5, frequency_penalty=0.3, seed=5, logit_bias=((9, 3.0),)
    ),
    "greedy with penalties": SamplingParams(temperature=0.0, repetition_penalty=1.4, frequency_penalty=0.3),
    "no early end": SamplingParams(min_tokens=20, logit_bias=((tiny_models.EOS, 30.0),), seed=6),
}


@dataclass(frozen=True)
class Shape:
    """Of an engine."""

    num_pages: int
    max_batch_tokens: int

    def engine(self, folder: Path) -> Engine:
        return assembly.load_engine(
            folder,
            page_tokens=16,
            kv_bytes=self.num_pages * PAGE_BYTES,
            max_batch_tokens=self.max_batch_tokens,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    tiny_models.llama(folder)
    return folder


def texts(engine: Engine, asked: dict[str, SamplingParams]) -> dict[tuple[str, int], list[int]]:
    """Tokens of each answer, all requests at once."""
    found: dict[tuple[str, int], list[int]] = {}
    for name, params in asked.items():
        prompt = [ord(letter) for letter in f"a common beginning, and then {name}"]
        more = msgspec.structs.replace(params, max_tokens=40)
        assert engine.add(Submit(request_id=name, prompt_token_ids=prompt, params=more)) is None
    while engine.has_work:
        for message in engine.step():
            found.setdefault((message.request_id, message.index), []).extend(message.token_ids)
    return found


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[tuple[str, int], list[int]]:
    engine = Shape(100, 2048).engine(folder)
    return {
        key: token_ids
        for name, params in ASKED.items()
        for key, token_ids in texts(engine, {name: params}).items()
    }


@pytest.mark.parametrize(
    ("what", "shape"),
    [
        ("a crowd", Shape(100, 2048)),
        ("chunks of seven tokens", Shape(100, 7)),
        ("pages for two at a time", Shape(11, 2048)),
    ],
)
def test_whatever_becomes_of_batches(what: str, shape: Shape, folder: Path, alone) -> None:
    engine = shape.engine(folder)
    assert texts(engine, ASKED) == alone
    assert (engine.stats().num_preemptions > 0) == (shape.num_pages == 11)


def test_the_answers_of_one_request_are_those_of_seeds_in_a_row(folder: Path) -> None:
    engine = Shape(100, 2048).engine(folder)
    for name in ("hot", "a nucleus", "penalties"):
        params = ASKED[name]
        assert params.seed is not None
        forked = texts(engine, {name: msgspec.structs.replace(params, n=3)})
        for index in range(3):
            single = texts(engine, {name: msgspec.structs.replace(params, seed=params.seed + index)})
            assert forked[name, index] == single[name, 0]
        assert len({tuple(token_ids) for token_ids in forked.values()}) == 3


def test_no_answer_ends_early(alone) -> None:
    token_ids = alone["no early end", 0]
    assert tiny_models.EOS not in token_ids[:20]
    assert token_ids[20] == tiny_models.EOS
