"""Nothing reaches out of a process but in a step, which has a point before and a point after it."""

import ast
from pathlib import Path

import pytest

from shared.platform.steps import Step
from tests.architecture.side_effects import called, naked, unguarded
from tests.architecture.sources import PRODUCT, below, files, functions, imported, tree

GENERATORS = {
    "shared/runtime/documents.py": "writes docs/ for developers",
    "shared/runtime/wiring.py": "writes the wiring for developers",
}
DEPLOYMENT = "shared/platform/migrations/"
"""Runs before new code does, by a command of its own; has its own proofs."""
IN_STEPS = {
    ("shared/platform/driver.py", ""): "what Postgres is spoken with, by platform/postgres.py",
    ("shared/platform/postgres.py", "_connected"): "hands out a connection and sends nothing",
    ("shared/platform/postgres.py", "make_engine"): "makes the pool, which connects on use",
    ("shared/platform/postgres.py", "_end"): "`begin` calls it in the step of its commit",
    ("shared/platform/postgres.py", "run_simple"): "`_alive` calls it",
    ("shared/platform/postgres.py", "_open"): "`begin` calls it in the step of its claim, if any",
    ("shared/platform/postgres.py", "_alive"): "`_open` and `run_once` call it in their steps",
    ("shared/platform/postgres.py", "begin"): "SQLAlchemy's transaction, which `_end` ends",
    ("shared/platform/postgres.py", "_cloud_sql_creator.connect"): "opens a connection",
    ("shared/platform/postgres.py", "read_once"): "only reads, see below, or is `run_once`'s",
    ("shared/platform/pubsub.py", "_publish"): "makes the call that OUTBOX_PUBLISH makes",
    ("shared/platform/identity.py", "_Keys.get"): "reads public certificates",
    ("shared/runtime/handlers.py", "Mirror.run"): "the mirror takes MIRROR_WRITE where it writes",
}
"""Functions that reach out although no step is to be seen in them, and why that is right."""
IN_CALLS = {
    ("shared/integrations/chargebee.py", "Chargebee._raw_subscription"): "asked in `calling`",
    ("shared/integrations/twilio.py", "_Transport.request"): "the SDK sends by it, in `calling`",
}
TELEMETRY = {"shared/platform/telemetry/export.py": "nobody was promised what is lost of it"}
MAY_IMPORT: dict[str, set[str]] = {
    "grpc": {"firestore", "pubsub", "tasks"},
    "google.cloud": {"firestore", "postgres", "tasks"},
    "google.pubsub_v1": {"pubsub"},
    "google.api_core": {"firestore", "pubsub", "tasks", "wake_ups"},
    "google.auth": {"export", "fcm"},
    "pg8000": {"database_errors", "driver", "postgres"},
    "chargebee": {"chargebee", "chargebee_http"},
    "twilio": {"twilio"},
    "sendgrid": {"sendgrid"},
    "httpx": {"chargebee_http", "fcm", "iterable", "twilio", "vendor_call", "zendesk"},
    "requests": {"export"},
    "urllib.request": {"identity"},
    "socket": {"driver"},
    "sqlalchemy.create_engine": set(),
    "aiohttp": set(),
    "asyncio": set(),
    "http.client": set(),
    "multiprocessing": set(),
    "smtplib": set(),
    "subprocess": set(),
}
"""Which modules may name what can reach out; all else goes through them."""


def sources(*folders: str) -> list[str]:
    return [str(file) for file in files(*folders) if not str(file).startswith(DEPLOYMENT)]


MACHINERY = sources("shared/platform", "shared/runtime")
INTEGRATIONS = sources("shared/integrations")
ELSEWHERE = [name for name in sources(*PRODUCT) if name not in {*MACHINERY, *INTEGRATIONS}]


@pytest.mark.parametrize("name", [*MACHINERY, *ELSEWHERE])
def test_a_side_effect_is_in_a_step(name: str) -> None:
    if name in GENERATORS | TELEMETRY or (name, "") in IN_STEPS:
        return
    found = [one for one in naked(tree(Path(name))) if (name, one.where) not in IN_STEPS]
    assert found == [], "take a Step around it: `with taking(Step...)` of platform/steps.py"


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_a_vendor_is_asked_where_its_errors_are_told_apart(name: str) -> None:
    found = [one for one in unguarded(tree(Path(name))) if (name, one.where) not in IN_CALLS]
    assert found == [], "ask it in `with calling(...)`"


def test_no_exception_outlives_its_reason() -> None:
    needed = {(name, one.where) for name in MACHINERY for one in naked(tree(Path(name)))}
    whole = {name for name, where in IN_STEPS if not where} | {*GENERATORS, *TELEMETRY}
    assert {place for place in IN_STEPS if place[1]} <= needed
    assert whole <= {*MACHINERY}
    guarded = {(name, one.where) for name in INTEGRATIONS for one in unguarded(tree(Path(name)))}
    assert set(IN_CALLS) <= guarded


def test_what_is_read_once_only_reads() -> None:
    """`read_once` takes no step, so its queries must not change anything."""
    for name in MACHINERY:
        for function in functions(tree(Path(name))):
            calls = {called(node) for node in ast.walk(function) if isinstance(node, ast.Call)}
            if "read_once" in calls and (name, function.name) != (
                "shared/platform/postgres.py",
                "run_once",
            ):
                texts = [n.value for n in ast.walk(function) if isinstance(n, ast.Constant)]
                words = {word for text in texts if isinstance(text, str) for word in text.split()}
                assert "SELECT" in words, f"{name}: the query must be where it is read"
                assert not words & {"INSERT", "UPDATE", "DELETE", "CALL"}, name


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_what_can_reach_out_is_imported_by_the_engines_alone(package: str) -> None:
    naming = {
        Path(name).stem
        for name in (*MACHINERY, *INTEGRATIONS, *ELSEWHERE)
        if any(below(one, {package}) for one in imported(tree(Path(name))))
    }
    assert naming == MAY_IMPORT[package]


def test_every_step_is_taken_somewhere() -> None:
    taken = {
        node.attr
        for name in MACHINERY
        if name != "shared/platform/steps.py"
        for node in ast.walk(tree(Path(name)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("Step", "steps.Step")
    } | {"ANSWER"}
    assert taken == set(Step.__members__)


def runs_in_steps(declaration: ast.AST) -> bool:
    """Whether what runs a kind of handler commits by a step, or takes one."""
    calls = {called(node) for node in ast.walk(declaration) if isinstance(node, ast.Call)}
    return bool(calls & {"committed", "carried_out", "taking"})


def test_every_kind_of_handler_runs_in_steps() -> None:
    module = tree(Path("shared/runtime/handlers.py"))
    kinds = {
        node.name: node
        for node in ast.walk(module)
        if (isinstance(node, ast.ClassDef) and any(_is_run(child) for child in node.body))
        or (isinstance(node, ast.FunctionDef) and node.name == "run_timer")
    }
    assert {"Reaction", "VendorCall", "Mirror", "Cron", "VendorCron", "run_timer"} <= set(kinds)
    assert [name for name, node in kinds.items() if not runs_in_steps(node)] == []


def _is_run(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "run"


def test_everything_that_serves_answers_in_a_step() -> None:
    """gunicorn is given a Flask app, functions-framework an agent's `function`."""
    serving = {
        name
        for name in MACHINERY
        for node in ast.walk(tree(Path(name)))
        if (isinstance(node, ast.Call) and called(node) in ("Flask", "OpenAPI"))
        or (isinstance(node, ast.FunctionDef) and node.name == "function")
    }
    answering = {
        name
        for name in MACHINERY
        for node in ast.walk(tree(Path(name)))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "steps.answered"
    }
    assert answering == serving == {f"shared/runtime/{e}.py" for e in ("agent", "api", "webhooks")}


# The rules themselves

NAKED = """
def forget(step):
    driver.execute_simple("DELETE FROM platform.timers")

class Relay:
    def run(self):
        with taking(Step.OUTBOX_PUBLISH):
            self._publisher.publish(letters)
            def later():
                self._publisher.publish(letters)
        self._publisher.publish(letters)
        self.effect.call(request, vendors, key)
        with postgres.begin(None, Opening(Step.PRUNE)) as opened, connection.begin():
            Path("x").write_text("y")
        _call("GetDocument", "name", name=name)
        _call("Commit", "database", writes=[])
"""
UNGUARDED = """
class Vendor:
    def send(self):
        with calling("vendor"):
            self._http.post("/messages")
        self._http.post("/messages")
        self._once(lambda: self._sdk.Invoice.pay(key))
        self._client.messages.create(to=to)
        self._http.close()
"""


def test_a_naked_side_effect_is_seen() -> None:
    found = {(one.where, one.call, one.line) for one in naked(ast.parse(NAKED))}
    assert found == {
        ("forget", "execute_simple", 3),
        ("Relay.run.later", "publish", 10),
        ("Relay.run", "publish", 11),
        ("Relay.run", "call", 12),
        ("Relay.run", "begin", 13),
        ("Relay.run", "write_text", 14),
        ("Relay.run", "_call", 16),
    }


def test_an_unguarded_vendor_call_is_seen() -> None:
    found = {(one.where, one.call, one.line) for one in unguarded(ast.parse(UNGUARDED))}
    assert found == {
        ("Vendor.send", "self._http.post", 6),
        ("Vendor.send", "self._client.messages.create", 8),
    }


def test_a_kind_of_handler_without_steps_is_seen() -> None:
    declared = "class Rush:\n    def run(self, function):\n        self.handle()\n"
    assert not runs_in_steps(ast.parse(declared))
