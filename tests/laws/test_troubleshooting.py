"""The page that explains reasons names each one, once, and no other."""

import re
from collections import Counter
from pathlib import Path

from kvring_node.model.errors import ModelFault
from kvring_operator.events import Reason

REPO = Path(__file__).parents[2]
PAGE = REPO / "docs/how-to/troubleshoot.md"


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def last_words() -> set[str]:
    """Reasons that a node gives for its end besides a model's faults."""
    files = ("__main__.py", "front.py", "fetch.py")
    text = "".join((REPO / "node/src/kvring_node" / name).read_text() for name in files)
    return set(re.findall(r'(?:Ended|ModelUnavailable)\(\s*"(\w+)"', text))


def test_every_reason_has_one_row_and_every_row_a_reason() -> None:
    explained = Counter(reason for row in rows() for reason in re.findall(r"`(\w+)`", row[0]))

    assert explained == Counter({*map(str, Reason), *map(str, ModelFault), *last_words()})


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    assert not [row for row in rows() if len(row) != 3 or not all(row)]
