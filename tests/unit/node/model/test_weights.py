"""Tensors that are not what config.json promises, and why."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.model.weights import Weights


def take(folder: Path) -> torch.Tensor:
    with Weights(folder, torch.float32, torch.device("cpu")) as weights:
        return weights.take("norm", 64)


def test_packed_numbers_are_quantised_ones_before_they_are_of_another_shape(tmp_path: Path) -> None:
    packed = {"norm": torch.zeros(32, 1, dtype=torch.uint8)}
    safetensors.torch.save_file(packed, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"torch\.uint8, quantised") as caught:
        take(tmp_path)
    assert caught.value.reason == ModelFault.UNSUPPORTED_FEATURE


def test_numbers_that_torch_does_not_know_are_quantised_ones(tmp_path: Path) -> None:
    header = json.dumps({"norm": {"dtype": "F6_E2M3", "shape": [64], "data_offsets": [0, 48]}}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(48)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="F6_E2M3, quantised") as caught:
        take(tmp_path)
    assert caught.value.reason == ModelFault.UNSUPPORTED_FEATURE
