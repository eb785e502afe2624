"""Entry points start with what they need: clients that are slow to import come on first use."""

import json
import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

NAMES = sorted(path.parent.name for path in (ROOT / "functions").glob("*/main.py"))
ALLOWED = {
    *("functions", "shared"),
    *("flask", "werkzeug", "jinja2", "markupsafe", "click", "blinker", "itsdangerous"),
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"),
    *("sqlalchemy", "greenlet", "pg8000", "scramp", "asn1crypto"),
    *("dateutil", "six", "uuid_utils", "cython_runtime"),
}
"""Web, validation, database, dates: what every function is made of."""
ALSO = {
    "portal_api": {"flask_openapi3"},
    # Vendors' signatures are checked by the modules that speak to them, over httpx (whose command
    # line looks for rich).
    "webhooks": {
        *("httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi", "pybreaker"),
        *("rich", "pygments"),
    },
}
NAMESPACES = {"google", "google.cloud"}
"""Empty packages that every interpreter knows where Google's libraries are installed."""
PROBE = """
import importlib, json, sys
importlib.import_module("functions.{name}.main")
print(json.dumps([m for m in sys.modules if not m.startswith("_")]))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """The modules in memory after importing each function's main, each in a process of its own."""
    running = {
        name: subprocess.Popen(
            [sys.executable, "-c", PROBE.format(name=name)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        )
        for name in NAMES
    }
    found = {name: process.communicate(timeout=60)[0] for name, process in running.items()}
    return {name: set(json.loads(printed)) for name, printed in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_function_imports_only_what_it_needs_to_start(
    name: str, loaded: dict[str, set[str]]
) -> None:
    foreign = {module.partition(".")[0] for module in loaded[name] - NAMESPACES}
    own = {"sitecustomize", "usercustomize"}  # what an operating system's Python brings along
    allowed = ALLOWED | ALSO.get(name, set()) | own | sys.stdlib_module_names
    assert foreign - allowed == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_function_needs_no_environment_to_be_imported(
    name: str, loaded: dict[str, set[str]]
) -> None:
    assert f"functions.{name}.main" in loaded[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_carries_no_other_and_no_local_cloud(
    name: str, loaded: dict[str, set[str]]
) -> None:
    others = [module for module in loaded[name] if module.startswith(("functions.", "emulators"))]
    assert [module for module in others if not module.startswith(f"functions.{name}")] == []
