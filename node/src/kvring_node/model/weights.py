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

READABLE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
"""Numbers that mean themselves. Narrower ones need scales, and would be taken for weights without a word."""

IGNORED_SUFFIXES = ("rotary_emb.inv_freq",)  # old Llama files carry them; they follow from the config


class Weights:
    """An open model folder. The transformer takes what it needs; what nobody took is an error at `close`."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device):
        """Opens every shard.

        Raises:
            ModelError: no weights, pickled weights only, a missing shard, or a broken file.
        """
        self.dtype = dtype
        self.device = device
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
            ModelError: no such tensor, a quantised one, or another shape than the config promises.
        """
        tensor = self._read(name)
        if tensor.dtype not in READABLE:
            raise _quantised(name, tensor.dtype)
        if tuple(tensor.shape) != shape:
            raise ModelError(
                ModelFault.CORRUPT,
                f"tensor {name} has shape {list(tensor.shape)}, config.json promises {list(shape)}; "
                "fetch config and weights of one revision",
            )
        self._left.discard(name)
        return tensor.to(device=self.device, dtype=self.dtype)

    def join(self, names: Sequence[str], rows: Sequence[int], *rest: int) -> torch.Tensor:
        """Several tensors `[rows[i], *rest]` as one, so that one multiplication does the work of several."""
        if len(names) == 1:  # stays in the file's pages where it can
            return self.take(names[0], rows[0], *rest)
        joined = torch.empty((sum(rows), *rest), dtype=self.dtype, device=self.device)
        first = 0
        for name, count in zip(names, rows, strict=True):
            joined[first : first + count] = self.take(name, count, *rest)
            first += count
        return joined

    def __contains__(self, name: str) -> bool:
        """Whether a file has this tensor."""
        return name in self._owner

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
        file = self._files[self._owner[name]]
        try:
            tensor: torch.Tensor = file.get_tensor(name)
        except SafetensorError as error:  # torch has no such numbers
            raise _quantised(name, file.get_slice(name).get_dtype()) from error
        return tensor


def _quantised(name: str, dtype: object) -> ModelError:
    return ModelError(
        ModelFault.UNSUPPORTED_FEATURE,
        f"tensor {name} is {dtype}, quantised; choose the model in bfloat16 or float32",
    )


def _shards(folder: Path) -> list[Path]:
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.exists():
        shards = [folder / name for name in _indexed(index)]
    elif single.exists():  # what else lies there is another copy of it
        shards = [single]
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


def _indexed(index: Path) -> list[str]:
    weight_map = read_json(index).get("weight_map")
    names = set(map(str, weight_map.values())) if isinstance(weight_map, dict) else set()
    if not names or any(Path(name).name != name for name in names):
        raise ModelError(
            ModelFault.CORRUPT, f"{index} has no weight_map of files beside it; fetch the model again"
        )
    return sorted(names)


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
