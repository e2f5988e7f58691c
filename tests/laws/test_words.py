"""Product code holds no unfinished part, swallowed error or bare ignore; documents link to what is there."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PRODUCT = ("contract", "operator", "node")


def product_code() -> list[Path]:
    return [path for folder in PRODUCT for path in (REPO / folder).rglob("*.py")]


def pages() -> list[Path]:
    return [*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")]


FORBIDDEN = [
    ("an unfinished part", re.compile(r"NotImplementedError|\bTODO\b|\bFIXME\b")),
    ("a swallowed error", re.compile(r"except( Exception| BaseException)?:\s*\n\s*pass\b")),
    (
        "an ignore without its reason",
        re.compile(r"# (type: ignore(\[[\w-]+\])?|noqa(: [A-Z0-9, ]+)?)\s*$", re.M),
    ),
]


@pytest.mark.parametrize(("what", "pattern"), FORBIDDEN, ids=[row[0] for row in FORBIDDEN])
def test_product_code_holds_no(what: str, pattern: re.Pattern[str]) -> None:
    found = [str(path.relative_to(REPO)) for path in product_code() if pattern.search(path.read_text())]
    assert not found, what


def test_every_markdown_link_inside_the_repository_leads_somewhere() -> None:
    links = [
        (page, target)
        for page in pages()
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not target.startswith("mailto:")
    ]
    assert not [(page.name, target) for page, target in links if not (page.parent / target).exists()]
