"""Peers on a sharded model, and peers that are not there."""

import argparse
import contextlib
import sys
from pathlib import Path

import pytest
from bench import throughput
from bench.contest import line_up, ours, workload
from bench.contest.contestant import Absent
from bench.contest.ours import Ours
from bench.contest.served import Conditions
from tests.support import tiny_models

from kvring_node.model import config as model_config

CACHE_BYTES = 1 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_models.llama(folder).save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def conditions(model: Path) -> Conditions:
    return Conditions(
        folder=model,
        device="cpu",
        num_threads=1,
        max_num_sequences=8,
        max_batch_tokens=64,
        cache_bytes=CACHE_BYTES,
        num_requests=4,
        longest=64,
        stream=False,
    )


def test_peers_answer_alike_and_who_is_absent_is_skipped_with_a_reason(model: Path, tmp_path: Path) -> None:
    limits = ours.limits(model_config.read(model), CACHE_BYTES)
    options = argparse.Namespace(
        peers=["ct2", "hf-padded-2", "hf-cb", "vllm"], http=False, vllm_python=Path(sys.executable)
    )
    rounds = workload.rounds(limits, 4, (3, 20), 6, 0, 1)
    with contextlib.ExitStack() as stack:
        met = line_up.meet(options, conditions(model), workload.warm_up(limits), tmp_path, stack)
        result, differences = throughput.compare(met.contestants, rounds, lambda one: one.cpu_s())
    assert list(met.contestants) == ["kvring", "ct2", "hf-padded-2", "hf-cb"]
    assert not differences, result["equal"]
    assert set(met.versions) == {"torch", "ctranslate2", "transformers"}
    assert list(met.skipped) == ["vllm"]
    assert "No module named 'vllm'" in met.skipped["vllm"]

    engine = met.contestants["kvring"]
    assert isinstance(engine, Ours)
    outside = engine.outside()
    assert 0 < outside["outside_the_runner"]["share"] < outside["outside_the_model"]["share"] < 1


@pytest.mark.parametrize(
    ("python", "why"),
    [(sys.executable, "No module named 'vllm'); `bench/vllm.sh FOLDER`"), ("gone", "FileNotFoundError: ")],
)
def test_with_nobody_to_compare_with_there_is_no_contest(
    python: str, why: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(peers=["vllm"], http=False, vllm_python=Path(python))
    warm_up = workload.warm_up(ours.limits(model_config.read(model), CACHE_BYTES))
    with pytest.raises(Absent, match="nobody is left"), contextlib.ExitStack() as stack:
        line_up.meet(options, conditions(model), warm_up, tmp_path, stack)
    told = capsys.readouterr().err
    assert "vllm is skipped: " in told
    assert why in told


def test_requests_must_fit_into_the_model_and_into_its_cache(model: Path) -> None:
    config = model_config.read(model)
    assert ours.limits(config, 1 << 30).num_tokens == config.max_positions
    assert ours.limits(config, 1 << 14).num_tokens == 32, "2 layers, 2 heads of 16 numbers: 8 KiB a page"
    assert ours.load(model, dtype="float32", kv_bytes=1 << 14).loaded.max_model_len == 32
