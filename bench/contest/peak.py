"""A device's own matrix peak, by the best large float32 product that is at hand; and the benches' clocks."""

import time
from collections.abc import Callable

import torch
from bench import arguments

from kvring_node.model.native import library
from kvring_node.model.native.parts import NativeParts

SIZES = {"cpu": 1536, "cuda": 8192}
ROUNDS = 12
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""`cpu` counts only the time in which processors computed, over all threads: for machines with neighbours."""


def clock(name: str, device: str) -> Callable[[], float]:
    """The clock of this name, if it can measure what this device does."""
    if name == "cpu" and device.startswith("cuda"):
        arguments.refuse("--clock cpu counts processors' time and not a GPU's; use --clock wall")
    return CLOCKS[name]


def measure(clock: Callable[[], float], device: str) -> float:
    """GFLOP in a second of this clock; on a CPU with all threads, the faster of torch's product and ours."""
    size = SIZES[device]
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    products: list[Callable[[], object]] = [lambda: left @ right]
    kernels = library.find() if device == "cpu" else None
    if kernels is not None:
        ours = NativeParts(kernels, 16, 1, 1, 16).linear(right, None)
        products.append(lambda: ours(left))
    return 2 * size**3 / 1e9 / min(_least_s(product, clock, device) for product in products)


def _least_s(product: Callable[[], object], clock: Callable[[], float], device: str) -> float:
    def once() -> float:
        started_at = clock()
        product()
        if device == "cuda":
            torch.cuda.synchronize()
        return clock() - started_at

    once()
    return min(once() for _ in range(ROUNDS))
