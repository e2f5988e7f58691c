"""What the documents say is there: folders, commands, figures of speech that are paths."""

import re
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(str(page.relative_to(REPO)) for page in sorted(REPO.glob("docs/*/*.md")) if page.stem[0].isalpha()),
)


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


def test_the_readme_leads_to_every_page() -> None:
    readme = (REPO / "README.md").read_text()
    assert not [page for page in PAGES[1:] if f"]({page})" not in readme]


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


@pytest.mark.parametrize("page", PAGES)
def test_every_anchor_that_a_page_links_to_is_a_heading(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", (REPO / page).read_text())
    missing = [
        (target, anchor)
        for target, anchor in links
        if anchor not in anchors_of((REPO / page).parent / target if target else REPO / page)
    ]
    assert not missing


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_manifest_in_a_page_can_be_read(page: str) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", (REPO / page).read_text(), re.S):
        assert [found for found in yaml.safe_load_all(block) if isinstance(found, dict)]


@pytest.mark.parametrize("page", PAGES)
def test_every_value_that_a_page_sets_is_one_of_the_chart(page: str) -> None:
    values = yaml.safe_load((REPO / "charts/kvring/values.yaml").read_text())
    for path in re.findall(r"--set '?([\w.]+)", (REPO / page).read_text()):
        first, *rest = path.split(".")
        assert first in values
        assert all(name in values[first] for name in rest), path


def test_decisions_look_alike_and_the_index_has_them_all() -> None:
    folder = REPO / "docs/decisions"
    index = (folder / "README.md").read_text()
    records = sorted(folder.glob("[0-9]*.md"))
    assert records
    for record in records:
        number = int(record.name[:4])
        heading = re.compile(rf"# {number}\. .+\n\nStatus: \w+, \d{{4}}-\d\d\.")
        assert heading.match(record.read_text()), record.name
        assert f"| {number} | " in index, record.name
        assert f"]({record.name})" in index, record.name
