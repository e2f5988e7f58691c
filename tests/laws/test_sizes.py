"""A room that grows past its walls is two rooms."""

from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
FOLDERS = ("contract", "operator", "node", "dev", "tests", "bench")
HARD_CAP = 400
NINE_IN_TEN = 250


def python_files() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (REPO / folder).rglob("*.py"))


def num_lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(REPO)))
def test_no_file_is_over_400_lines(path: Path) -> None:
    assert num_lines(path) <= HARD_CAP, "a new room is better than a longer one"


def test_nine_files_in_ten_are_under_250_lines() -> None:
    sizes = sorted(map(num_lines, python_files()))
    assert sizes[len(sizes) * 9 // 10] < NINE_IN_TEN


def test_product_packages_init_files_hold_a_docstring_and_the_version_only() -> None:
    for folder in ("contract", "operator", "node"):
        for path in (REPO / folder / "src").rglob("__init__.py"):
            code = path.read_text().split('"""')
            assert len(code) == 3, f"{path}: a docstring, please"
            assert code[2].strip() == "" or code[2].strip().startswith("__version__"), path


def test_operator_and_node_folders_are_not_packages() -> None:
    """A top-level operator/__init__.py would shadow the standard library's and kill the interpreter."""
    for folder in ("operator", "node", "contract"):
        assert not (REPO / folder / "__init__.py").exists()
