"""Functions are triggers: declarations without rules, errors, formats, settings or SQL."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.runtime import wiring
from tests.architecture.sources import below, files, functions, imported, tree

FILES = files("functions")
MAINS = [path for path in FILES if path.name == "main.py"]
NAME = re.compile(r"[a-z]+(_[a-z]+)+")
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b")
DECLARING = {"agent.effects", "agent.mirrors", "agent.polls"}
FOREIGN = {"json", "os", "sqlalchemy", "pg8000", "google", "httpx", "requests", "shared.platform"}
BRANCHES = (ast.Try, ast.TryStar, ast.If, ast.For, ast.While, ast.With, ast.Raise, ast.Match)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_function_knows_no_format_environment_or_engine(file: Path) -> None:
    assert {name for name in imported(tree(file)) if below(name, FOREIGN)} == set()


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_function_holds_no_sql(file: Path) -> None:
    texts = (n.value for n in ast.walk(tree(file)) if isinstance(n, ast.Constant))
    assert [text for text in texts if isinstance(text, str) and SQL.search(text)] == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_function_decides_nothing(file: Path) -> None:
    """No branch, loop or `try` inside a handler: what it calls decides."""
    decisions = [
        f"{function.name}:{node.lineno}"
        for function in functions(tree(file))
        for node in ast.walk(function)
        if isinstance(node, BRANCHES)
    ]
    assert decisions == []


@pytest.mark.parametrize("file", MAINS, ids=str)
def test_a_main_is_read_at_a_glance(file: Path) -> None:
    body = tree(file).body
    assert ast.get_docstring(tree(file)), "it says in a sentence what the function is for"
    assert (body[-1].end_lineno or 0) <= 80


@pytest.mark.parametrize("file", MAINS, ids=str)
def test_a_main_only_declares(file: Path) -> None:
    declarations = (
        *(ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef),
        *(ast.Assign, ast.Expr, ast.For),
    )
    others = [node.lineno for node in tree(file).body if not isinstance(node, declarations)]
    assert others == []


def test_handlers_are_named_noun_verb() -> None:
    assert [name for name in handlers() if not NAME.fullmatch(name)] == []


def test_handler_names_are_unique_in_the_repository() -> None:
    """The inbox and the intents remember what was handled by these names."""
    assert [name for name, times in Counter(handlers()).items() if times > 1] == []


def test_every_handler_is_seen_by_these_tests() -> None:
    mains = wiring.modules()
    served: set[str] = set(mains["portal_api"].api._permits)
    for agent in wiring.agents(mains).values():
        timers = {timer.name for timer in agent.timers.values()}
        served |= {*agent.handlers, *agent.crons, *timers}
    assert served == set(handlers())


def test_every_timer_and_cron_belongs_to_one_function() -> None:
    agents = wiring.agents(wiring.modules())
    kinds = Counter(kind for agent in agents.values() for kind in agent.timers)
    assert [kind for kind, times in kinds.items() if times > 1] == []


def handlers() -> list[str]:
    """The names of all declared handlers, twice if declared twice."""
    return [name for file in FILES for name in _declared(tree(file))]


def _declared(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and any(map(_declares, node.decorator_list)):
            yield node.name
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in DECLARING:
            yield ast.literal_eval(node.args[0])


def _declares(decorator: Any) -> bool:
    return ast.unparse(decorator).startswith(("agent.", "api."))
