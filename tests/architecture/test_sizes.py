"""Files and functions stay small enough to be read at once."""

import ast
from pathlib import Path

from tests.architecture.sources import EVERYTHING, ROOT, files, functions, tree

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
MIGRATIONS = Path("shared/platform/migrations/versions")
"""Drafted by a program, and never touched again."""


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code; a table of names and values counts as one, the docstring as none."""
    lines = set(range(function.lineno, (function.end_lineno or 0) + 1))
    for node in ast.walk(function):
        if isinstance(node, ast.Dict):
            lines -= set(range(node.lineno + 1, (node.end_lineno or 0) + 1))
    if ast.get_docstring(function):
        text = function.body[0]
        lines -= set(range(text.lineno, (text.end_lineno or 0) + 1))
    return len(lines)


def test_files_stay_readable() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in everything()}
    assert {path: n for path, n in lengths.items() if n > LONGEST_FILE} == {}


def test_functions_stay_readable() -> None:
    lengths = {
        f"{path}:{function.name}": length(function)
        for path in everything()
        for function in functions(tree(path))
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def everything() -> list[Path]:
    return [path for path in files(*EVERYTHING) if path.parent != MIGRATIONS]
