"""Lock files: hashes on everything, no index address, and no torch where the operator runs."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
LOCKS = ("operator/requirements.lock", "node/requirements.lock", "dev/requirements.lock")


def pins(path: str) -> dict[str, str]:
    """Name and marker -> version, of every pinned requirement."""
    text = (REPO / path).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    found = {}
    for line in lines:
        match = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==([\w.+!-]+)( ;[^-]*(?:-(?!-hash)[^-]*)*)?", line)
        assert match, f"{path}: not a pin: {line[:80]}"
        assert "--hash=sha256:" in line, f"{path}: no hash: {line[:80]}"
        found[match[1] + (match[3] or "").split("--hash")[0].strip()] = match[2]
    return found


@pytest.mark.parametrize("path", LOCKS)
def test_every_line_is_a_pin_with_hashes(path: str) -> None:
    assert len(pins(path)) > 10


@pytest.mark.parametrize("path", LOCKS)
def test_no_lock_names_an_index(path: str) -> None:
    assert not re.search(r"https?://|--index-url|--find-links", (REPO / path).read_text())


def test_the_operator_holds_no_torch() -> None:
    names = {name.split(";")[0].strip() for name in pins("operator/requirements.lock")}
    assert not names & {"torch", "numpy", "triton", "safetensors", "tokenizers"}


@pytest.mark.parametrize("path", LOCKS[:2])
def test_images_hold_what_was_tested(path: str) -> None:
    tested = pins("dev/requirements.lock")
    drifted = {
        name: (v, tested[name]) for name, v in pins(path).items() if name in tested and tested[name] != v
    }
    assert not drifted
