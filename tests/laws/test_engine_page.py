"""docs/concepts/engine.md walks through the node: its files exist, are named once, and none is left out."""

import re
from collections import Counter
from pathlib import Path

REPO = Path(__file__).parents[2]
NODE = REPO / "node/src/kvring_node"
PAGE = (REPO / "docs/concepts/engine.md").read_text()
NAMED = [name for name in re.findall(r"`([\w/]+(?:\.py|/))`", PAGE) if name != "node/src/kvring_node/"]
FULLY_NAMED = ("engine", "pages")
"""Folders whose every file has its place in the walk."""


def rooms() -> set[str]:
    """Modules and folders of the node, and the files of those that the page is about."""
    files = [path.relative_to(NODE) for path in NODE.rglob("*.py") if path.name != "__init__.py"]
    return {
        str(path) if len(path.parts) == 1 or path.parts[0] in FULLY_NAMED else f"{path.parts[0]}/"
        for path in files
    }


def test_every_file_that_it_names_is_there() -> None:
    assert NAMED
    assert not [name for name in NAMED if not (NODE / name).exists()]


def test_no_file_is_named_twice() -> None:
    assert not [name for name, times in Counter(NAMED).items() if times > 1 and name.endswith(".py")]


def test_no_room_is_left_out() -> None:
    names = [name for name in NAMED if name.strip("/") not in FULLY_NAMED]
    left_out = [room for room in rooms() if not any(n.startswith(room) or room.startswith(n) for n in names)]
    assert not left_out, "docs/concepts/engine.md does not know them"
