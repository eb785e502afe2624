"""The house has the rooms it was planned with, and no drawers."""

import re
from pathlib import Path

import pytest

from tests.architecture.sources import EVERYTHING, ROOT, below, files, imported, tree

STORAGE = {"tables", "store", "queries"}
ROLES = STORAGE | {"model", "commands", "service", "ports"}
TECHNICAL = {
    *("google", "flask", "sqlalchemy", "pg8000", "httpx", "chargebee", "twilio", "sendgrid"),
    *("shared.platform", "shared.runtime", "shared.integrations"),
}
CONTEXTS = sorted(
    folder.name for folder in (ROOT / "shared/domains").iterdir() if (folder / "model.py").exists()
)


def children(folder: str) -> set[str]:
    inside = (ROOT / folder).iterdir()
    return {path.stem for path in inside if not path.name.startswith(("_", "."))}


def test_shared_has_exactly_six_children() -> None:
    six = {"kernel", "events", "domains", "integrations", "platform", "runtime"}
    assert children("shared") == six


def test_the_kernel_is_a_closed_list() -> None:
    closed = {"clock", "errors", "event", "ids", "model", "money", "phi", "tenancy", "work"}
    assert children("shared/kernel") == closed


def test_every_function_is_a_folder_with_a_main() -> None:
    folders = [p for p in (ROOT / "functions").iterdir() if not p.name.startswith(("_", "."))]
    assert [str(p) for p in folders if not (p / "main.py").is_file()] == []


def test_events_are_one_module_per_context() -> None:
    contexts = {p.name for p in (ROOT / "shared/domains").iterdir() if p.is_dir()}
    public = children("shared/events") - {"messages"}
    assert public <= contexts, "each module of shared/events is named after a context"


@pytest.mark.parametrize("context", CONTEXTS)
def test_only_tables_store_and_queries_touch_storage(context: str) -> None:
    offenders = {
        f"{file.name} imports {name}"
        for file in files(f"shared/domains/{context}")
        if file.stem not in STORAGE
        for name in imported(tree(file))
        if below(name, TECHNICAL)
    }
    assert offenders == set()


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_context_has_the_known_roles(context: str) -> None:
    """More modules are use cases split off `service.py`; without one there is nothing to split."""
    own = children(f"shared/domains/{context}")
    assert own <= ROLES or "service" in own


def test_nothing_is_a_drawer() -> None:
    drawer = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc)($|_)")
    named = [path for path in files(*EVERYTHING) if any(map(drawer.search, _names(path)))]
    assert named == []


def _names(path: Path) -> list[str]:
    return [part.removesuffix(".py") for part in path.parts]


def test_nothing_is_imported_by_star() -> None:
    stars = [path for path in files(*EVERYTHING) if any(n.endswith(".*") for n in _all(path))]
    assert stars == []


def _all(path: Path) -> set[str]:
    return imported(tree(path))
