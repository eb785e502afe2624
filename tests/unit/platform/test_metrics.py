"""What is measured is documented, and adds up."""

from collections.abc import Iterator

import pytest

from shared.platform import settings
from shared.platform.telemetry import export, metrics, otlp
from shared.platform.telemetry.instruments import DECLARED, Counter, Gauge, Histogram, Instrument
from tests.architecture.sources import ROOT

PAGE = ROOT / "docs" / "observability.md"
HEAD = "| metric | kind | unit | what it is | told apart by | alert |\n|---|---|---|---|---|---|\n"


def documented() -> str:
    """The table of metrics as the page should have it."""
    rows = [
        f"| `{one.name}` | {type(one).__name__.lower()} | `{one.unit}` | {one.description} "
        f"| {', '.join(f'`{name}`' for name in one.attributes)} | {one.alert} |\n"
        for one in DECLARED
        if one.name.startswith(("clinicloop.", "http.", "db."))
    ]
    return HEAD + "".join(rows)


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Telemetry is on, and nobody takes it."""
    known = (settings.load, export._settings, export._exporter)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for one in known:
        one.cache_clear()
    yield
    for one in known:
        one.cache_clear()


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares is forgotten after it."""
    mine: list[Instrument] = []
    monkeypatch.setattr(otlp, "DECLARED", mine)
    monkeypatch.setattr("shared.platform.telemetry.instruments.DECLARED", mine)


def exported() -> dict[str, object]:
    """What leaves, by metric."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    message = ExportMetricsServiceRequest.FromString(otlp.metrics({}, 1, 2))
    return {one.name: one for one in message.resource_metrics[0].scope_metrics[0].metrics}


def test_the_page_has_the_table_of_what_is_measured() -> None:
    assert metrics.REQUESTS in DECLARED
    assert PAGE.read_text().endswith(documented())


def test_a_histogram_counts_a_value_in_the_bucket_it_does_not_exceed(
    exporting: None, declared: None
) -> None:
    histogram = Histogram("h", "s", "", ("k",), bounds=(1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.record(value, "x")
    (point,) = exported()["h"].histogram.data_points  # type: ignore[attr-defined]
    assert (point.count, point.sum) == (5, 8)
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == ([2, 2, 1], [1, 2])


def test_what_leaves_of_a_histogram_is_not_changed_by_what_is_recorded_meanwhile(
    exporting: None, declared: None
) -> None:
    histogram = Histogram("h", "s", "", bounds=(1, 2))
    histogram.record(0.5)
    ((_, leaving),) = histogram.readings()
    histogram.record(0.5)
    assert (leaving.count, leaving.counts) == (1, [1, 0, 0])


def test_a_counter_adds_up_by_its_attributes(exporting: None, declared: None) -> None:
    counter = Counter("c", "1", "", ("k",))
    for value in ("x", "y", "x"):
        counter.add(1, value)
    points = exported()["c"].sum.data_points  # type: ignore[attr-defined]
    assert {p.attributes[0].value.string_value: p.as_double for p in points} == {"x": 2, "y": 1}


def test_a_gauge_that_nobody_sets_is_reported_for_a_while_only(
    exporting: None, declared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauge = Gauge("g", "1", "")
    gauge.set(7)
    assert "g" in exported()
    monkeypatch.setattr("shared.platform.telemetry.instruments.STALE", 0.0)
    assert "g" not in exported()


def test_a_value_that_was_not_declared_cannot_leave(exporting: None, declared: None) -> None:
    Counter("c", "1", "", ("k",)).add(1, "x", "Ada Example")
    with pytest.raises(ValueError, match="argument"):
        exported()


def test_nothing_adds_up_while_nothing_is_exported(
    declared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    for one in (settings.load, export._settings, export._exporter):
        one.cache_clear()
    counter = Counter("c", "1", "")
    counter.add(1)
    assert counter.totals == {}
