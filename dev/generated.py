"""Files that are made from others: written by their generators, compared by `make verify`."""

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from dev import paths

SHOWN_LINES = 40


def main(module: str, description: str, texts: Mapping[Path, Callable[[], str]]) -> None:
    """Write each text to its file in order, or with `--check` exit with 1 and a diff when one differs."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is out of date")
    check = parser.parse_args().check
    for target, make in texts.items():
        name = target.relative_to(paths.REPOSITORY)
        found, text = target.read_text() if target.exists() else "", make()
        if check and found != text:
            diff = difflib.unified_diff(found.splitlines(), text.splitlines(), str(name), module, lineterm="")
            print("\n".join(list(diff)[:SHOWN_LINES]))
            sys.exit(f"{name} is out of date: python -m {module}")
        if not check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            print(f"{name}: {'unchanged' if found == text else 'written'}")
