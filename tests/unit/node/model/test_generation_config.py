"""What is read from generation_config.json."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from kvring_node.messages import SamplingDefaults
from kvring_node.model import generation_config


def written(folder: Path, **values: Any) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        ({"eos_token_id": [1, 2]}, {"eos_token_id": 3}, {1, 2}),
        ({"eos_token_id": 1}, {"eos_token_id": 3}, {1}),
        ({}, {"eos_token_id": 3}, {3}),
        (None, {"eos_token_id": 3}, {3}),
        (None, {}, set()),
    ],
)
def test_the_tokens_that_end_a_text(
    generation: dict[str, Any] | None, config: dict[str, Any], expected: set[int], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if generation is not None:
        written(tmp_path, **generation)
    assert generation_config.eos_token_ids(tmp_path) == expected


def test_how_its_makers_would_sample(tmp_path: Path) -> None:
    folder = written(
        tmp_path, do_sample=True, temperature=0.6, top_p=0.95, top_k=20, min_p=0.05, repetition_penalty=1.1
    )
    assert generation_config.sampling_defaults(folder) == SamplingDefaults(
        temperature=0.6, top_p=0.95, top_k=20, min_p=0.05, repetition_penalty=1.1
    )


def test_without_the_file_and_where_it_says_nothing_nothing_changes(tmp_path: Path) -> None:
    assert generation_config.sampling_defaults(tmp_path) == SamplingDefaults()
    assert generation_config.sampling_defaults(written(tmp_path, temperature=None)) == SamplingDefaults()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1),
        ("temperature", "warm"),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.5),
        ("top_k", -2),
        ("top_k", 2.5),
        ("min_p", [0.1]),
        ("repetition_penalty", 0),
    ],
)
def test_a_number_that_makes_no_sense_is_ignored_and_told(
    name: str, value: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = {"top_k": 5} if name != "top_k" else {"top_p": 0.5}
    with caplog.at_level(logging.WARNING):
        read = generation_config.sampling_defaults(written(tmp_path, **{name: value}, **other))
    assert read == SamplingDefaults(**other)
    (record,) = caplog.records
    assert name in record.getMessage()
