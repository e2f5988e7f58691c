"""Training text: the sources of the Python standard library, and small lessons cut out of them."""

import ast
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Test suites, vendored wheels and tables of character codes: plenty of bytes, little Python.
SKIPPED = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "lib2to3", "pydoc_data"}
)
MAX_LESSON_CHARS = 1200
HELD_OUT_EVERY = 25


@dataclass(frozen=True)
class Lesson:
    """A question and its answer: what a function is for, and the function."""

    question: str
    answer: str


@dataclass(frozen=True)
class Corpus:
    """Sources to learn from and sources kept back to be judged by."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def read(folder: Path | None = None) -> Corpus:
    """Reads the standard library, or the Python files of another folder, in a fixed order."""
    root = folder or Path(sysconfig.get_path("stdlib"))
    texts = [
        path.read_text("utf-8", errors="replace")
        for path in sorted(root.rglob("*.py"))
        if _wanted(path, root)
    ]
    return Corpus(
        train=tuple(text for i, text in enumerate(texts) if i % HELD_OUT_EVERY),
        held_out=tuple(texts[::HELD_OUT_EVERY]),
    )


def lessons(source: str) -> Iterator[Lesson]:
    """Each documented function of moderate length as a question and an answer."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        purpose = (ast.get_docstring(node) or "").partition("\n")[0].strip()
        answer = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
        if purpose and len(answer) <= MAX_LESSON_CHARS:
            yield Lesson(question=f"Write {node.name}: {purpose}", answer=answer)


def _wanted(path: Path, root: Path) -> bool:
    return not SKIPPED.intersection(path.relative_to(root).parts)
