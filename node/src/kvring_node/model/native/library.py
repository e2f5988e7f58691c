"""The compiled kernels, called through ctypes: addresses of float32 tensors in, nothing out.

They have threads of their own, as many as torch has; `use_threads` says how many that is.
"""

import ctypes
import functools
import logging
import platform

import torch

from kvring_node.model.native import build

LOG = logging.getLogger(__name__)

ADDRESS, SIZE, NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class Weights(ctypes.Structure):
    """`Weights` of linear.cpp."""

    _fields_ = (
        ("packed", ADDRESS),
        ("bias", ADDRESS),
        ("num_inputs", SIZE),
        ("num_outputs", SIZE),
        ("then", ctypes.c_int32),
    )


class Rotation(ctypes.Structure):
    """`Rotation` of heads.cpp."""

    _fields_ = (
        ("norm", ADDRESS),
        ("table", ADDRESS),
        ("num_heads", SIZE),
        ("head_dim", SIZE),
        ("width", SIZE),
        ("eps", NUMBER),
    )


class Step(ctypes.Structure):
    """`Step` of attention.cpp."""

    _fields_ = (
        ("slots", ADDRESS),
        ("pages", ADDRESS),
        ("tasks", ADDRESS),
        ("num_tokens", SIZE),
        ("num_tasks", SIZE),
        ("page_tokens", SIZE),
        ("num_heads", SIZE),
        ("num_kv_heads", SIZE),
        ("head_dim", SIZE),
        ("scale", NUMBER),
    )


class Layer(ctypes.Structure):
    """`Layer` of attention.cpp."""

    _fields_ = (("slots", ADDRESS), ("num_slots", SIZE), ("window", SIZE))


class Library:
    """The functions of one compiled library; the sources say what they take."""

    def __init__(self, variant: str):
        """Loads the library built for this variant.

        Raises:
            OSError: it is not there, or not for this machine.
        """
        loaded = ctypes.CDLL(str(build.library_path(variant)))
        self.variant = variant
        self.panel: int = loaded.kvring_panel()
        """Columns of a result that are computed together; weights are packed by it."""
        self.lanes = self.panel // 2
        self.linear = _function(loaded.kvring_linear, ADDRESS, ADDRESS, SIZE, SIZE, ADDRESS)
        self.norm = _function(loaded.kvring_norm, ADDRESS, ADDRESS, NUMBER, SIZE, SIZE, ADDRESS)
        self.rotate = _function(loaded.kvring_rotate, ADDRESS, ADDRESS, ADDRESS, SIZE, SIZE)
        self.use_threads = _function(loaded.kvring_use_threads, SIZE)
        self.attend = _function(loaded.kvring_attend, ADDRESS, ADDRESS, ADDRESS, SIZE, ADDRESS, SIZE, ADDRESS)


@functools.cache
def find() -> Library | None:
    """The library for this machine's processor; None, and a line in the log, when there is none."""
    known = build.VARIANTS.get(platform.machine(), {})
    own = torch.backends.cpu.get_cpu_capability().lower()
    variant = own if own in known else "default"
    if not build.library_path(variant).exists():
        LOG.warning(
            "the compiled kernels are missing: computing with torch alone, more slowly; "
            "`python -m kvring_node.model.native.build` makes them where g++ is installed"
        )
        return None
    return Library(variant)


def _function(function: "ctypes._NamedFuncPointer", *arguments: type) -> "ctypes._NamedFuncPointer":
    function.argtypes = arguments
    function.restype = None
    return function
