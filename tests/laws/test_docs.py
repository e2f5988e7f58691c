"""What the documents say is there: folders, commands, figures of speech that are paths."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/concepts/house.md", "docs/concepts/engine.md")


def tree_of(page: str) -> set[str]:
    """First words of the lines of a page's map (a fenced block whose first line begins with contract/)."""
    blocks = re.findall(r"```\n(contract/.*?)```", (REPO / page).read_text(), re.S)
    return {line.split()[0] for line in "\n".join(blocks).splitlines() if line.strip()}


@pytest.mark.parametrize("page", ["README.md", "docs/concepts/house.md"])
def test_the_map_names_what_exists(page: str) -> None:
    assert tree_of(page), "the page has no map"
    assert not [name for name in tree_of(page) if not (REPO / name).is_dir()]


def test_the_readmes_map_leaves_out_no_top_level_folder() -> None:
    folders = {p.name + "/" for p in REPO.iterdir() if p.is_dir() and not p.name.startswith(".")}
    assert folders - {"build/", "dist/"} == tree_of("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_make_command_that_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.M))
    named = set(
        re.findall(r"^(?:[A-Z_]+=\S+ )*make ([a-z-]+)|`make ([a-z-]+)", (REPO / page).read_text(), re.M)
    )
    assert {a or b for a, b in named} <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_puts_in_code_exists(page: str) -> None:
    text = (REPO / page).read_text()
    paths = re.findall(
        r"`((?:contract|operator|node|crds|charts|manifests|dev|tests|bench|docs)/[\w./-]+)`", text
    )
    assert not [path for path in paths if not (REPO / path).exists()]
