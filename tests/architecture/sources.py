"""The source files of the house, read as syntax trees."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("functions", "shared")
EVERYTHING = (*PRODUCT, "emulators", "tests", "bench")


def files(*folders: str) -> list[Path]:
    """Python files below the folders, relative to the repository."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in found)


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(), str(file))


def imported(module: ast.Module) -> set[str]:
    """The full names of all modules a file names in imports, wherever they stand."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def below(name: str, packages: set[str]) -> bool:
    """Whether the module `name` is one of the packages or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
