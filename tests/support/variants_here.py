"""The compiled kernels that this machine's processor can run."""

import platform

import torch

from kvring_node.model.native import build
from kvring_node.model.native.library import Library

ORDER = ("default", "avx2", "avx512")


def libraries() -> list[Library]:
    """One for each variant up to the processor's own; none where they are not built."""
    own = torch.backends.cpu.get_cpu_capability().lower()
    known = build.VARIANTS.get(platform.machine(), {})
    upto = ORDER.index(own) if own in ORDER else 0
    return [
        Library(variant)
        for variant in ORDER[: upto + 1]
        if variant in known and build.library_path(variant).exists()
    ]
