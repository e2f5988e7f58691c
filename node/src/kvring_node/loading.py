"""From options to a model on a device, with the pages that its memory allows."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kvring_contract.fingerprint import Fingerprint
from kvring_node import memory
from kvring_node import runner as torch_runner
from kvring_node.engine.options import EngineOptions
from kvring_node.engine.ports import Runner
from kvring_node.model import heap
from kvring_node.model.attention.sdpa import SdpaAttention
from kvring_node.model.config import ModelConfig
from kvring_node.model.errors import ModelError, ModelFault
from kvring_node.model.native import attention as native_attention
from kvring_node.model.native import library as native
from kvring_node.model.native.parts import NativeParts
from kvring_node.model.parts import Parts
from kvring_node.model.plain import PlainParts
from kvring_node.model.rope import LongRope, Rope
from kvring_node.model.transformer import Transformer
from kvring_node.model.weights import Weights
from kvring_node.pages.store import LAYOUT, PageShape, PageStore

CPU_SHARE = 0.25
"""Of the free memory, for pages. The rest is for what steps compute, for the machine's other programs, and
for weights that lie in their file's pages, which count as free."""
CUDA_SHARE = 0.9
"""Of the device's memory; the rest is for the allocator's fragments and whoever else is on the device."""

_log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run, and what there is to say about it."""

    runner: Runner
    fingerprint: Fingerprint
    device: str
    dtype: str
    max_model_len: int
    num_pages: int
    page_bytes: int


def load(
    options: EngineOptions, config: ModelConfig, free_bytes: Callable[[], int] = memory.free_bytes
) -> LoadedModel:
    """Reads the weights, chooses device and dtype, measures memory, makes pages.

    `free_bytes`: memory of a CPU that may still be taken.

    Raises:
        ModelError: the model cannot be loaded; its message says what to do.
    """
    if options.num_threads is not None:
        torch.set_num_threads(options.num_threads)
    folder = Path(options.model)
    device = _device(options.device)
    dtype_name = _dtype_name(options.dtype, config.dtype, device)
    dtype = DTYPES[dtype_name]
    longest = _longest(options, config)
    shape = PageShape(config.num_layers, options.page_tokens, config.num_kv_heads, config.head_dim, dtype)
    parts = _parts(config, shape, device)
    with heap.giving_back(), Weights(folder, dtype, device) as weights:
        transformer = Transformer(config, weights, parts)
        weights.check_all_taken()
        digest = weights.digest((folder / "config.json").read_bytes())
    if options.kv_bytes is not None:
        num_pages = options.kv_bytes // shape.page_bytes
    elif device.type == "cpu":
        num_pages = _pages_on_cpu(options, longest, shape, free_bytes)
    else:
        num_pages = _pages_on_cuda(options, transformer, parts, shape, device)
    served = _served(options, longest, num_pages, shape)
    _tell_of_long_rope(config.rope, served)
    transformer.reach(served)
    return LoadedModel(
        runner=torch_runner.TorchRunner(
            transformer,
            parts,
            _store(shape, num_pages, device),
            device,
            # In the compiled kernels each number is one chain of sums, whatever else is in the batch.
            one_by_one=options.batch_invariant and not isinstance(parts, NativeParts),
        ),
        fingerprint=Fingerprint(
            digest, options.revision, dtype_name, options.page_tokens, LAYOUT, options.salt
        ),
        device=str(device),
        dtype=dtype_name,
        max_model_len=served,
        num_pages=num_pages,
        page_bytes=shape.page_bytes,
    )


def _store(shape: PageShape, num_pages: int, device: torch.device) -> PageStore:
    try:
        return PageStore(shape, num_pages, device)
    except RuntimeError as error:
        wanted = num_pages * shape.page_bytes
        raise ModelError(
            ModelFault.NO_MEMORY, f"{wanted} bytes for pages cannot be had; give the cache less memory"
        ) from error


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            ModelFault.NO_DEVICE,
            "no CUDA device is visible; request one, or set the device (KVRING_DEVICE) to cpu",
        )
    return torch.device(name)


def _dtype_name(wanted: str, own: str, device: torch.device) -> str:
    name = own if wanted == "auto" else wanted
    if name not in DTYPES:
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE, f"dtype {name} is not supported; only {', '.join(DTYPES)} are"
        )
    # Few CPUs compute well in less, and float16 overflows where bfloat16 was meant.
    return "float32" if wanted == "auto" and device.type == "cpu" else name


def _parts(config: ModelConfig, shape: PageShape, device: torch.device) -> Parts:
    """The kernels where they are built and can do it; torch everywhere else."""
    heads = config.num_heads, config.num_kv_heads, config.head_dim
    if device.type == "cpu" and shape.dtype == torch.float32 and native_attention.supports(*heads):
        library = native.find()
        if library is not None:
            return NativeParts(library, shape.page_tokens, *heads)
    if device.type == "cuda":
        # Triton takes its time to import.
        from kvring_node.model.attention import launcher
        from kvring_node.model.attention.paged import PagedAttention

        launcher.use_built()
        return PlainParts(lambda batch: PagedAttention(batch, *heads[:2], shape.page_tokens, device))
    return PlainParts(lambda batch: SdpaAttention(batch, shape.page_tokens, shape.slot_bytes, device))


def _longest(options: EngineOptions, config: ModelConfig) -> int:
    """Tokens of a text that the model can take, or that are wished for."""
    wished = options.max_model_len or config.max_positions
    if wished > config.max_positions:
        raise ModelError(
            ModelFault.UNSUPPORTED_FEATURE,
            f"--max-model-len (spec.model.maxModelLen) is {wished}, and by its config.json this model takes "
            f"{config.max_positions} tokens; lower it or leave it out",
        )
    return wished


def _served(options: EngineOptions, longest: int, num_pages: int, shape: PageShape) -> int:
    """Tokens of a text that the pages hold; refuses fewer than were wished for."""
    if num_pages < 1:
        raise ModelError(
            ModelFault.NO_MEMORY,
            f"no memory is left for pages of {shape.page_bytes} bytes; give the cache more memory",
        )
    held = num_pages * shape.page_tokens
    if held >= longest:
        return longest
    enough = f"{-(-_num_pages(longest, shape) * shape.page_bytes // (1 << 20))}Mi"
    if options.max_model_len is not None:
        raise ModelError(
            ModelFault.NO_MEMORY,
            f"the KV cache holds {held} tokens, not --max-model-len (spec.model.maxModelLen) {longest}; "
            f"raise --cache-bytes (spec.cache.size.initial) to {enough}, or lower the length to {held}",
        )
    _log.warning("serving %d tokens of the model's %d: raise --cache-bytes to %s", held, longest, enough)
    return held


def _tell_of_long_rope(rope: Rope, served: int) -> None:
    if isinstance(rope, LongRope) and served > rope.original_max_positions:
        _log.warning(
            "serving texts of up to %d tokens: also short ones are computed with the rope's long factors, as "
            "in vLLM; transformers takes those from %d tokens on, and so it is here with --max-model-len %d",
            served,
            rope.original_max_positions + 1,
            rope.original_max_positions,
        )


def _num_pages(num_tokens: int, shape: PageShape) -> int:
    return -(-num_tokens // shape.page_tokens)


def _pages_on_cpu(
    options: EngineOptions, longest: int, shape: PageShape, free_bytes: Callable[[], int]
) -> int:
    """A share of the free memory, but no more than can be in use at once."""
    try:
        free = free_bytes()
    except (OSError, LookupError, ValueError) as error:
        raise ModelError(
            ModelFault.NO_MEMORY, f"nobody says how much memory is free ({error!r}); give --cache-bytes"
        ) from error
    most = options.max_num_sequences * _num_pages(longest, shape)
    return max(1, min(int(free * CPU_SHARE) // shape.page_bytes, most))


def _pages_on_cuda(
    options: EngineOptions, transformer: Transformer, parts: Parts, shape: PageShape, device: torch.device
) -> int:
    """What the costliest step, which is one prefill of the whole budget, leaves free."""
    transformer.reach(options.max_batch_tokens)  # the text may be longer than any that will be served
    peak = torch_runner.measure_peak_bytes(
        transformer, parts, shape, device, options.max_batch_tokens, options.max_num_sequences
    )
    free, total = torch.cuda.mem_get_info(device)
    return int(free - (1 - CUDA_SHARE) * total - peak) // shape.page_bytes
