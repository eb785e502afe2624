"""Where the product reaches out of its process, read off its syntax trees.

A call that is seen outside must lie in `with taking(Step...)`, so that a proof can end the process
before and after it. What is known to reach out is named here; whoever adds another way adds its
name, for the import of anything that could reach out is refused elsewhere (`MAY_IMPORT`).
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SENDING = frozenset(
    {
        # Postgres, past the one way that takes a Step by itself (`postgres.begin`)
        *("commit", "connect", "execute_simple", "execute_unnamed", "raw_connection", "run_simple"),
        *("create_engine", "_alive", "_end", "_open"),
        # the APIs of Google
        *("create_task", "publish", "urlopen", "_call"),
        *("unary_unary", "unary_stream", "stream_unary", "stream_stream"),
        # files and processes
        *("open", "write_text", "write_bytes", "mkdir", "unlink", "rename", "rmtree"),
        *("Popen", "system", "popen", "kill"),
    }
)
"""Names of functions and methods that reach out."""
HANDED_OVER = {("effect", "call"), ("effect", "find"), ("mirroring", "call")}
"""What a domain declared: the first is the attribute that holds it."""
CLIENTS = frozenset({"_http", "_client", "_sdk"})
"""The attributes in which integrations hold a vendor's client."""
READS = frozenset({"GetDocument", "BatchGetDocuments"})
"""Methods of Firestore's API that change nothing, as first arguments."""
_COVERS = frozenset({"taking"})
_COVERS_VENDORS = frozenset({"calling", "_once"})
"""`_once` of Chargebee runs what it is given in `calling`."""


@dataclass(frozen=True)
class Naked:
    """A call that reaches out and does not lie in a step."""

    where: str
    """The function it is in, by its qualified name; empty at the top of a module."""
    call: str
    line: int


def naked(module: ast.Module) -> list[Naked]:
    """The calls in a module of runtime or platform that lie in no step."""
    return list(_Finder(_reaches_out, _COVERS).found_in(module))


def unguarded(module: ast.Module) -> list[Naked]:
    """The calls of a vendor's client that do not lie in `with calling(...)`."""
    return list(_Finder(_asks_vendor, _COVERS_VENDORS).found_in(module))


class _Finder:
    def __init__(self, matches: Callable[[ast.Call], str], covers: frozenset[str]) -> None:
        self._matches = matches
        self._covers = covers

    def found_in(
        self, node: ast.AST, where: tuple[str, ...] = (), covered: bool = False
    ) -> Iterator[Naked]:
        if isinstance(node, ast.Call):
            if not covered and (name := self._matches(node)):
                yield Naked(".".join(where), name, node.lineno)
            covered = covered or called(node) in self._covers
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            where, covered = (*where, node.name), False  # it runs when it is called
        for child in ast.iter_child_nodes(node):
            inside = isinstance(node, ast.With) and child in node.body and self._takes(node)
            yield from self.found_in(child, where, covered or inside)

    def _takes(self, node: ast.With) -> bool:
        opened = (call for item in node.items for call in ast.walk(item.context_expr))
        return any(isinstance(call, ast.Call) and called(call) in self._covers for call in opened)


def called(node: ast.Call) -> str:
    """The last word of what is called: `begin` of `postgres.begin(...)`."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _path(node: ast.expr) -> list[str]:
    """The words of `self._http.request`, calls and subscripts in between left out."""
    match node:
        case ast.Attribute():
            return [*_path(node.value), node.attr]
        case ast.Call():
            return _path(node.func)
        case ast.Subscript():
            return _path(node.value)
        case ast.Name():
            return [node.id]
    return []


def _reaches_out(node: ast.Call) -> str:
    words = _path(node.func)
    if not words:
        return ""
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Constant) and first.value in READS:
        return ""
    if words[-1] == "begin" and words[:-1] not in ([], ["postgres"]):
        return "begin"
    handed_over = len(words) > 1 and (words[-2], words[-1]) in HANDED_OVER
    return words[-1] if handed_over or words[-1] in SENDING else ""


def _asks_vendor(node: ast.Call) -> str:
    words = _path(node.func)
    return ".".join(words) if CLIENTS & set(words[:-1]) and words[-1] != "close" else ""
