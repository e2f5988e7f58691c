"""What can be chosen about an engine."""

import msgspec

PAGE_SIZES = (8, 16, 32, 64, 128, 256)
"""Tokens in a page."""


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A struct, so that it crosses to the engine process as JSON and is checked there.

    Attributes:
        model: folder in Hugging Face layout.
        revision: of the model, as its user calls it; part of the fingerprint.
        dtype: auto (the checkpoint's; float32 on a CPU), float32, bfloat16 or float16.
        device: auto (CUDA if there is one), cpu or cuda.
        page_tokens: tokens in a page; one of PAGE_SIZES.
        kv_bytes: memory for pages; None: a quarter of what is free on a CPU, as far as all sequences can
            use it, and what a measured step leaves free on CUDA.
        max_model_len: longest prompt and answer together; more than the model takes or the pages hold is
            refused; None: as much as both allow.
        max_batch_tokens: tokens that one step computes at most.
        max_num_sequences: sequences that run at a time at most.
        strategy: who goes first; see engine/strategies.
        salt: keeps tenants' pages apart; part of the fingerprint.
        seed: root of the seeds of requests that bring none; None: from the operating system.
        batch_invariant: bitwise the same logits alone and in any batch, chunk or prefix hit, at any price.
        num_threads: of the CPU; None: as torch finds it.
    """

    model: str
    revision: str = "main"
    dtype: str = "auto"
    device: str = "auto"
    page_tokens: int = 16
    kv_bytes: int | None = None
    max_model_len: int | None = None
    max_batch_tokens: int = 2048
    max_num_sequences: int = 64
    strategy: str = "FCFS"
    salt: str = ""
    seed: int | None = None
    batch_invariant: bool = False
    num_threads: int | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError`: with such numbers kernels would crash, or no step ever compute a token."""
        if self.page_tokens not in PAGE_SIZES:
            raise ValueError(
                f"page_tokens is {self.page_tokens}; choose one of {', '.join(map(str, PAGE_SIZES))}"
            )
        for name in ("max_batch_tokens", "max_num_sequences", "max_model_len", "num_threads"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} is {number}; it must be at least 1")
