"""Training text: the sources of the Python standard library, and small lessons cut out of them."""

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Test suites, vendored wheels, tables of character codes, widgets: plenty of bytes, little everyday Python.
SKIPPED = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "encodings", "lib2to3", "pydoc_data"}
    | {"idlelib", "tkinter", "turtledemo"}
)
MAX_LESSON_CHARS = 600
MAX_LINE_CHARS = 100  # once every statement is one line, longer ones are mostly tables
HELD_OUT_EVERY = 25
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Lesson:
    """A question and its answer: what a function is for, and the function."""

    question: str  # empty where nobody wrote down what it is for
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


def module(source: str) -> str:
    """A whole source, plain."""
    return _plain(ast.parse(source))


def lessons(source: str) -> Iterator[Lesson]:
    """Each function of moderate length, plain, as the answer to a question where it is documented."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        purpose = (ast.get_docstring(node) or "").partition("\n")[0].strip()
        answer = _plain(node)
        if len(answer) <= MAX_LESSON_CHARS:
            yield Lesson(question=f"Write {node.name}: {purpose}" if purpose else "", answer=answer)


def _plain(tree: ast.AST) -> str:
    """Code alone, laid out in one way: comments and docstrings are English, far harder to learn than Python.

    Takes the docstrings out of the tree it is given.
    """
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    lines = ast.unparse(tree).splitlines()
    return "".join(f"{line}\n" for line in lines if len(line) <= MAX_LINE_CHARS)


def _wanted(path: Path, root: Path) -> bool:
    return not SKIPPED.intersection(path.relative_to(root).parts)
