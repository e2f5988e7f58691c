"""`python -m dev.model`: makes the demo models where they are missing and shows what they write.

`--force` makes them again; `--show` only prints what the present ones continue.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from dev import paths
from dev.model import make
from dev.model.recipe import DEMO, DEMO_SMALL
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = ("def ", "class Stack(object):\n    def __init__(self", "import os\n")


def main(arguments: list[str]) -> int:
    """Makes both models; the second run is instant."""
    parser = argparse.ArgumentParser(prog="python -m dev.model", description=__doc__)
    parser.add_argument("--force", action="store_true", help="make them again")
    parser.add_argument("--show", action="store_true", help="print continuations")
    options = parser.parse_args(arguments)
    made = make.all_missing((DEMO, DEMO_SMALL), paths.models(), force=options.force)
    if made or options.show:
        show(paths.models() / DEMO.name)
    return 0


@torch.inference_mode()
def show(folder: Path) -> None:
    """Prints greedy continuations of a few prompts."""
    words = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    for prompt in PROMPTS:
        tokens = torch.tensor([words(prompt)["input_ids"]])
        written = model.generate(tokens, max_new_tokens=60, do_sample=False, repetition_penalty=1.1)
        print(f"--- {prompt!r}\n{words.decode(written[0])}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
