"""Where Google's emulators differ from Google's documentation, read off the conformance tests.

`python -m tests.emulators.conformance.differences` writes them into docs/emulators.md.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[2] / "docs" / "emulators.md"
BEGIN, END = "<!-- differences: begin -->", "<!-- differences: end -->"
ENGINES = {"pubsub": "Pub/Sub", "firestore": "Firestore", "identity": "Identity Platform"}
"""The titles, by the second word of a test file's name."""


@dataclass(frozen=True, order=True)
class Difference:
    """What a test expects by the documentation, and what Google's emulator does instead."""

    engine: str
    expected: str
    instead: str


def differences() -> list[Difference]:
    """All of them, by engine and in the order of the tests."""
    return [each for file in sorted(FOLDER.glob("test_*.py")) for each in _of_file(file)]


def _of_file(file: Path) -> Iterator[Difference]:
    engine = file.stem.split("_")[1]
    tree = ast.parse(file.read_text())
    shared: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            shared[node.targets[0].id] = list(_texts(node.value))
    whole = (ast.get_docstring(tree) or file.stem).splitlines()[0].rstrip(".")
    for text in shared.pop("pytestmark", []):
        yield Difference(engine, whole, text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            expected = node.name.removeprefix("test_").replace("_s_", "'s ").replace("_", " ")
            for decorator in node.decorator_list:
                name = decorator.id if isinstance(decorator, ast.Name) else ""
                for text in (*shared.get(name, ()), *_texts(decorator)):
                    yield Difference(engine, expected, text)


def _texts(tree: ast.AST) -> Iterator[str]:
    """What the `differs` markers say that are made in there."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "differs"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def section() -> str:
    """The tables of the page, one for each engine that Google has an emulator of."""
    tables = []
    found = differences()
    for engine in sorted({each.engine for each in found}, key=list(ENGINES).index):
        title = ENGINES[engine]
        rows = [each for each in found if each.engine == engine]
        lines = [f"| {_cell(each.expected)} | {_cell(each.instead)} |" for each in rows]
        head = ["| documented, and so with ours | Google's emulator |", "|---|---|"]
        tables.append("\n".join([f"### {title}", "", *head, *lines]))
    return "\n\n".join(tables)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def written(page: str) -> str:
    """The page with the present section in it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{section()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
