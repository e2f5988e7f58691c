"""A tokenizer made like Llama 2's: few words, and a token for each byte of all other characters."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, processors

FIRST_BYTE = 1
"""Token id of byte 0; those of the others follow."""


def make(folder: Path) -> Path:
    """Write tokenizer.json; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = ["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "t", "h", "e", "▁t", "▁th", "▁the"]
    merges = [("▁", "t"), ("▁t", "h"), ("▁th", "e")]
    inner = tokenizers.Tokenizer(
        models.BPE({symbol: i for i, symbol in enumerate(symbols)}, merges, byte_fallback=True)
    )
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.add_special_tokens(["<s>"])
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    inner.save(str(folder / "tokenizer.json"))
    return folder
