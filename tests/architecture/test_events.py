"""Every event says a fact in the past tense, carries no text, and is known to everybody."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.kernel.event import Event
from shared.runtime import documents, wiring
from tests.architecture.sources import ROOT

CATALOGUE = [kind for kind in wiring.catalogue() if kind.__module__.startswith("shared.events.")]
IRREGULAR = {"due", "found", "grew", "lost", "paid", "sent", "undone"}
FOR_OTHERS = {"billing.drift_found", "customer.registered", "customer.value_grew", "ticket.opened"}
"""Published for whoever subscribes outside this repository: warehouses, dashboards, alerts."""
SHAPE = re.compile(r"([a-z]+(_[a-z]+)*)\.([a-z]+(_[a-z]+)*)")
events = pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.type)


@events
def test_a_type_is_a_noun_and_a_past_tense(kind: type[Event]) -> None:
    shape = SHAPE.fullmatch(kind.type)
    assert shape is not None
    words = set(shape[3].split("_"))
    assert words & IRREGULAR or any(word.endswith("ed") for word in words)


@events
def test_an_event_class_is_named_after_its_type(kind: type[Event]) -> None:
    assert kind.__name__.lower() == re.sub(r"[._]", "", kind.type)


@events
def test_a_topic_is_a_noun_family(kind: type[Event]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*-events", kind.topic)


@events
def test_no_field_of_a_schema_is_free_text(kind: type[Event]) -> None:
    places = _texts(kind.model_json_schema(), kind.type)
    assert [place for place in places if not place.endswith(".currency")] == []


def _texts(schema: Any, place: str) -> list[str]:
    """Places of strings without format or list of values. Currencies are three letters."""
    if isinstance(schema, list):
        return [found for part in schema for found in _texts(part, place)]
    if not isinstance(schema, dict):
        return []
    free = schema.get("type") == "string" and not {"format", "enum", "const"} & schema.keys()
    below = [found for name, part in schema.items() for found in _texts(part, f"{place}.{name}")]
    return below + ([place] if free else [])


@events
def test_an_event_is_made_somewhere(kind: type[Event]) -> None:
    assert documents.producers(kind)


@events
def test_an_event_is_handled_or_published_for_others(kind: type[Event]) -> None:
    handled = documents.consumers(kind, wiring.agents(wiring.modules()))
    assert bool(handled) != (kind.type in FOR_OTHERS)


def test_facts_published_for_others_exist() -> None:
    assert {kind.type for kind in CATALOGUE} >= FOR_OTHERS


@pytest.mark.parametrize("generator", ["wiring", "documents"])
def test_generated_files_are_current(generator: str) -> None:
    command = [sys.executable, "-m", f"shared.runtime.{generator}", "--check"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_every_subscription_stays_within_pubsubs_limits() -> None:
    """Source: https://cloud.google.com/pubsub/docs/subscription-message-filter (256 bytes)."""
    wired = json.loads((ROOT / wiring.FILE).read_text())
    filters = [part["filter"] for part in wired["subscriptions"].values()]
    assert [text for text in filters if len(text.encode()) > 256] == []


def test_schema_files_have_an_event() -> None:
    files = {Path(path).stem for path in (ROOT / "docs/events").glob("*.json")}
    assert files == {kind.type for kind in CATALOGUE}
