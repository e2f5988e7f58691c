"""Named tensors of a model folder: safetensors only, memory-mapped, handed out one by one."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open

from kvring_node.model.config import read_json
from kvring_node.model.errors import ModelError, ModelFault

SAMPLED_BYTES = 4096
"""Bytes of each tensor that enter the digest: a training step that touches a tensor changes nearly all."""

IGNORED_SUFFIXES = ("rotary_emb.inv_freq",)  # old Llama files carry them; they follow from the config


class Weights:
    """An open model folder. The transformer takes what it needs; what nobody took is an error at `close`."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device):
        """Opens every shard.

        Raises:
            ModelError: no weights, pickled weights only, a missing shard, or a broken file.
        """
        self._dtype = dtype
        self._device = device
        self._files = {path: _open(path) for path in _shards(folder)}
        self._owner = {name: path for path, file in self._files.items() for name in file.keys()}  # noqa: SIM118 - keys() is all it has
        self._left = {name for name in self._owner if not name.endswith(IGNORED_SUFFIXES)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.clear()

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """One tensor, in the dtype and on the device of this load.

        Raises:
            ModelError: no such tensor, or another shape than the config promises.
        """
        tensor = self._read(name)
        if tuple(tensor.shape) != shape:
            raise ModelError(
                ModelFault.CORRUPT,
                f"tensor {name} has shape {list(tensor.shape)}, config.json promises {list(shape)}; "
                "fetch config and weights of one revision",
            )
        self._left.discard(name)
        return tensor.to(device=self._device, dtype=self._dtype)

    def join(self, names: Sequence[str], rows: Sequence[int], *rest: int) -> torch.Tensor:
        """Several tensors `[rows[i], *rest]` as one, so that one multiplication does the work of several."""
        joined = torch.empty((sum(rows), *rest), dtype=self._dtype, device=self._device)
        first = 0
        for name, count in zip(names, rows, strict=True):
            joined[first : first + count] = self.take(name, count, *rest)
            first += count
        return joined

    def ignore(self, name: str) -> None:
        """Says that a tensor may be in the files and is not needed (a tied head stored twice)."""
        self._left.discard(name)

    def check_all_taken(self) -> None:
        """Refuses a folder with tensors that this architecture does not know: it would answer nonsense.

        Raises:
            ModelError: naming some of them.
        """
        if self._left:
            names = ", ".join(sorted(self._left)[:3])
            raise ModelError(
                ModelFault.CORRUPT,
                f"{len(self._left)} tensors do not belong to this architecture ({names}); "
                "fetch config and weights of one revision",
            )

    def digest(self, config: bytes) -> str:
        """Hex digest of config, names, shapes, dtypes and the first bytes of every tensor."""
        sha = hashlib.sha256(config)
        for name in sorted(self._owner):
            tensor = self._read(name)
            head = tensor.reshape(-1)[: SAMPLED_BYTES // tensor.element_size()].contiguous().view(torch.uint8)
            sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            sha.update(head.numpy().tobytes())
        return sha.hexdigest()

    def _read(self, name: str) -> torch.Tensor:
        if name not in self._owner:
            raise ModelError(
                ModelFault.INCOMPLETE, f"tensor {name} is in no file; fetch the whole model folder"
            )
        tensor: torch.Tensor = self._files[self._owner[name]].get_tensor(name)
        return tensor


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelError(ModelFault.CORRUPT, f"{index} has no weight_map; fetch the model again")
        shards = [folder / name for name in sorted(set(weight_map.values()))]
    else:
        shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise _no_weights(folder)
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise ModelError(
            ModelFault.INCOMPLETE,
            f"{folder} lacks {', '.join(missing)}; fetch the missing files and try again",
        )
    return shards


def _no_weights(folder: Path) -> ModelError:
    pickles = [path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern)]
    if pickles:
        return ModelError(
            ModelFault.UNSAFE_FORMAT,
            f"{pickles[0]} is a pickle, which can run code when read; convert the model to safetensors "
            "(save_pretrained of transformers does) and try again",
        )
    return ModelError(
        ModelFault.INCOMPLETE, f"{folder} holds no .safetensors file; fetch the whole model folder"
    )


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise ModelError(
            ModelFault.CORRUPT, f"{path.name} is truncated or no safetensors file ({error}); fetch it again"
        ) from error
