"""Numbers that say where things are, on their way to the device."""

import numpy as np
import numpy.typing as npt
import torch


def indices(numbers: npt.ArrayLike, device: torch.device) -> torch.Tensor:
    """As 64 bit integers; from pinned memory, so that nobody waits for what a GPU is doing."""
    tensor = torch.from_numpy(np.array(numbers, np.int64))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
