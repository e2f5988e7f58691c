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

PROMPTS = ("def ", "def __init__(self", "class Stack(object):\n    def __init__(self")
SEED = 1


def main(arguments: list[str]) -> int:
    """Makes both models; the second run is instant."""
    parser = argparse.ArgumentParser(prog="python -m dev.model", description=__doc__)
    parser.add_argument("--force", action="store_true", help="make them again")
    parser.add_argument("--show", action="store_true", help="print continuations")
    options = parser.parse_args(arguments)
    made = make.all_missing((DEMO, DEMO_SMALL), paths.models(), force=options.force)
    if made or options.show:
        for recipe in (DEMO, DEMO_SMALL):
            print(f"\n{recipe.name}")
            show(paths.models() / recipe.name)
    return 0


@torch.inference_mode()
def show(folder: Path) -> None:
    """Prints for a few prompts the likeliest continuation and one of the likely ones."""
    words = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    for prompt in PROMPTS:
        tokens = torch.tensor([words(prompt)["input_ids"]])
        for temperature in (None, 0.6):
            torch.manual_seed(SEED)
            written = model.generate(
                tokens, max_new_tokens=60, do_sample=temperature is not None, temperature=temperature
            )
            how = "greedy" if temperature is None else f"temperature {temperature}"
            print(f"--- {prompt!r}, {how}\n{words.decode(written[0], skip_special_tokens=True)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
