"""The documents agree with the code: commands, configuration, vendors' settings, links."""

import importlib
import re
from pathlib import Path

import pytest

from shared.platform.settings import EMULATOR_VARIABLES, Settings
from tests.architecture.sources import ROOT

README = ROOT / "README.md"
PAGES = sorted([README, *(ROOT / "docs").rglob("*.md")])
_ROW = re.compile(r"^\| `([A-Z_]+)` \| [^|]+ \| ([^|]+) \|", re.MULTILINE)


def configuration() -> dict[str, str]:
    """The README's configuration table: variable -> default."""
    rows = _ROW.findall(README.read_text())
    assert len(rows) == len(dict(rows)), "a variable has one row"
    return {name: default.strip().strip("`") for name, default in rows}


def settings() -> dict[str, str]:
    """Every variable a Settings class reads -> its default as the README would say it."""
    for file in sorted((ROOT / "shared").rglob("*.py")):
        if "(Settings)" in file.read_text():
            parts = file.relative_to(ROOT).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    return {
        name.upper(): _said(field.is_required(), field.default)
        for kind in Settings.__subclasses__()
        if kind.__module__.startswith("shared.")
        for name, field in kind.model_fields.items()
    }


def _said(required: bool, default: object) -> str:
    return "required" if required else "none" if default is None else str(default)


def test_every_variable_is_in_the_configuration_table_with_its_default() -> None:
    assert configuration() == settings()


def test_no_emulator_variable_is_offered_as_configuration() -> None:
    assert not configuration().keys() & set(EMULATOR_VARIABLES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_are_targets_of_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = set(re.findall(r"(?:`|^\$ |^  )make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert commands <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text())
    dead = [
        f"{place}#{anchor}"
        for place, anchor in links
        if not _leads_somewhere(page.parent / place if place else page, anchor)
    ]
    assert dead == []


def _leads_somewhere(target: Path, anchor: str) -> bool:
    if not target.exists():
        return False
    return not anchor or anchor in _anchors(target.read_text())


def _anchors(text: str) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_vendors_page_names_every_webhook_event_the_local_cloud_switches_on() -> None:
    cloud = (ROOT / "emulators" / "cloud.py").read_text()
    [switched_on] = re.findall(r'_CHARGEBEE_EVENTS = """(.*?)"""', cloud, re.DOTALL)
    named = (ROOT / "docs" / "vendors.md").read_text()
    assert [event for event in switched_on.split() if f"`{event}`" not in named] == []


def test_decisions_are_short_and_listed() -> None:
    listed = (ROOT / "docs" / "adr" / "README.md").read_text()
    for page in (ROOT / "docs" / "adr").glob("0*.md"):
        assert len(page.read_text().splitlines()) <= 25, page.name
        assert f"({page.name})" in listed
