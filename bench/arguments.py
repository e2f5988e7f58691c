"""What the benches' arguments have in common. A bench that cannot do what it is asked ends with status 2."""

import argparse
import shutil
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn, TypeVar

T = TypeVar("T")


def run(main: Callable[[], int | None]) -> NoReturn:
    """Ends this process with what `main` returns: 130 when interrupted, 143 when told to end.

    Both unwind, so that nothing that was started is left behind.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        tell("interrupted")
        sys.exit(130)


def parser(told: str | None) -> argparse.ArgumentParser:
    """A parser for a module that is run by `python -m`; its help begins with the module's docstring."""
    spec = sys.modules["__main__"].__spec__
    return argparse.ArgumentParser(
        prog=f"python -m {spec.name}" if spec else None,
        description=told,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def tell(message: str) -> None:
    """Says how far the bench is. Standard output is for results, whose last line is JSON."""
    print(message, file=sys.stderr, flush=True)


def refuse(message: str) -> NoReturn:
    """Ends the bench: it cannot be done as asked. The message says what to do instead."""
    tell(message)
    sys.exit(2)


def whole(text: str) -> int:
    """A whole number from 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def count(text: str) -> int:
    """A whole number above 0."""
    if whole(text) == 0:
        raise argparse.ArgumentTypeError("it must be above 0")
    return int(text)


def positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def several(one: Callable[[str], T]) -> Callable[[str], list[T]]:
    """A list with commas; each of its parts is `one`."""

    def parse(text: str) -> list[T]:
        return [one(part) for part in text.split(",")]

    return parse


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """One of these names."""

    def parse(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return text

    return parse


def file(text: str) -> Path:
    """A file that is there."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def program(text: str) -> Path:
    """A program that can be started, by its path or its name."""
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"there is no program {text}")
    return Path(found)
