"""The CUDA kernel compiled where no GPU is: the calls that steps make, with a driver that launches nothing.

`python -m tests.support.paged_compiled` reads cases as JSON and writes what Triton made of each. It wants a
process of its own: Triton decides at its import whether it compiles or interprets.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import triton  # type: ignore[import-untyped]  # it has none
from triton.backends.compiler import GPUTarget  # type: ignore[import-untyped]  # the same

from kvring_node.batch import Batch
from kvring_node.model.attention import paged

PAGE_TOKENS = 16
NUM_HEADS, NUM_KV_HEADS = 8, 2


@dataclass(frozen=True)
class Case:
    """One layer of one step on a generation of GPUs; spans are tokens computed and tokens to compute."""

    capability: int
    dtype: str
    head_dim: int
    spans: tuple[tuple[int, int], ...]
    window: int | None


@dataclass(frozen=True)
class Compiled:
    """A kernel in Triton's intermediate representation, its machine code and the shared memory it takes."""

    ttir: str
    cubin_bytes: int
    shared_bytes: int


class Driver:
    """As much of Triton's driver as it takes to compile a kernel and to be told to launch it."""

    def __init__(self, capability: int):
        """For one compute capability: 90 is 9.0."""
        self._capability = capability
        self.utils: object = self
        self.launcher_cls: Callable[..., Callable[..., None]] = self._launch_nothing

    def get_current_target(self) -> object:
        """What to compile for."""
        return GPUTarget("cuda", self._capability, 32)

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_current_stream(self, _device: int) -> int:
        """The only one."""
        return 0

    def get_device_properties(self, _device: int) -> dict[str, int]:
        """Shared memory without end: the tests look at what is taken."""
        return {"max_shared_mem": sys.maxsize}

    def load_binary(self, *_kernel: object) -> tuple[int, int, int, int, int]:
        """Handles of module and function, registers, spills and threads at most."""
        return 1, 1, 0, 0, 1024

    def unload_module(self, _module: int) -> None:
        """Nothing was loaded."""

    def _launch_nothing(self, _source: object, _metadata: object) -> Callable[..., None]:
        return lambda *_arguments: None


def compiled(case: Case) -> Compiled:
    """What the step launches."""
    triton.runtime.driver.set_active(Driver(case.capability))
    paged._attend.device_caches.clear()
    attend(case)
    kernels, *_ = paged._attend.device_caches[0]
    [kernel] = kernels.values()
    return Compiled(kernel.asm["ttir"], len(kernel.asm["cubin"]), kernel.metadata.shared)


def attend(case: Case) -> None:
    """Calls attention as the engine does, with tensors of a CPU."""
    dtype: torch.dtype = getattr(torch, case.dtype)
    computed, lengths = [span[0] for span in case.spans], [span[1] for span in case.spans]
    num_tokens, num_pages = sum(lengths), -(-max(map(sum, case.spans)) // PAGE_TOKENS)
    batch = Batch([0] * num_tokens, computed, lengths, [list(range(num_pages))] * len(case.spans), [])
    query = torch.zeros(num_tokens, NUM_HEADS, case.head_dim, dtype=dtype)
    keys_values = torch.zeros(num_tokens, 2 * NUM_KV_HEADS, case.head_dim, dtype=dtype)
    layer = torch.zeros(2 * NUM_KV_HEADS, num_pages * PAGE_TOKENS, case.head_dim, dtype=dtype)
    attention = paged.PagedAttention(batch, NUM_HEADS, NUM_KV_HEADS, PAGE_TOKENS, torch.device("cpu"))
    attention(query, keys_values, layer, case.window)


if __name__ == "__main__":
    json.dump([asdict(compiled(Case(**case))) for case in json.load(sys.stdin)], sys.stdout)
