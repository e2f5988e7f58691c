"""The machine's own matrix peak, by the best large float32 product that is at hand."""

import time
from collections.abc import Callable

import torch

from kvring_node.model.native import library
from kvring_node.model.native.parts import NativeParts

SIZE = 1536
ROUNDS = 12


def measure(clock: Callable[[], float]) -> float:
    """GFLOP in a second of this clock with all threads: the faster of torch's product and ours."""
    left, right = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    products: list[Callable[[], torch.Tensor]] = [lambda: left @ right]
    kernels = library.find()
    if kernels is not None:
        ours = NativeParts(kernels, 16, 1, 1, 16).linear(right, None)
        products.append(lambda: ours(left))
    return max(_rate(product, clock) for product in products)


def _rate(product: Callable[[], torch.Tensor], clock: Callable[[], float]) -> float:
    product()
    best_s = float("inf")
    for _ in range(ROUNDS):
        started_at = clock()
        product()
        best_s = min(best_s, clock() - started_at)
    return 2 * SIZE**3 / best_s / 1e9


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""`cpu` counts only the time in which processors computed, over all threads: for machines with neighbours."""
