"""The console takes what OTLP exporters send, keeps a bounded part of it and tells of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from emulators.cloud import Options
from emulators.console import traces
from emulators.console.metrics import Metrics
from emulators.console.traces import Traces
from emulators.pytest_plugin import running

MILLISECOND = 1_000_000


def export(*spans: dict[str, Any], service: str = "api") -> bytes:
    """An export of spans; `trace`, `id` and `parent` are small numbers, times milliseconds."""
    message = ExportTraceServiceRequest()
    part = message.resource_spans.add()
    part.resource.attributes.add(key="service.name").value.string_value = service
    scope = part.scope_spans.add()
    for span in spans:
        made = scope.spans.add(
            trace_id=bytes([span.get("trace", 1)]) * 16,
            span_id=bytes([span["id"]]) * 8,
            parent_span_id=bytes([span["parent"]]) * 8 if "parent" in span else b"",
            name=span.get("name", "work"),
            kind=2,
            start_time_unix_nano=span.get("start", 0) * MILLISECOND,
            end_time_unix_nano=(span.get("start", 0) + span.get("took", 1)) * MILLISECOND,
        )
        if span.get("failed"):
            made.status.code = Status.STATUS_CODE_ERROR
        if correlation := span.get("correlation"):
            made.attributes.add(key="clinicloop.correlation_id").value.string_value = correlation
    return message.SerializeToString()


@pytest.fixture
def kept() -> Traces:
    return Traces()


def test_spans_that_come_apart_are_one_trace(kept: Traces) -> None:
    kept.take(export({"id": 2, "parent": 1, "start": 5, "took": 20}, service="agent"))
    kept.take(export({"id": 1, "name": "GET /", "start": 0, "took": 10, "failed": True}))
    (row,) = kept.newest()
    assert (row["name"], row["spans"], row["errors"]) == ("GET /", 2, 1)
    assert row["services"] == ["agent", "api"]
    assert row["milliseconds"] == 25


def test_a_traces_spans_have_their_place_in_it(kept: Traces) -> None:
    kept.take(export({"id": 2, "parent": 1, "start": 105, "took": 20}, {"id": 1, "start": 100}))
    found = kept.find("01" * 16)
    assert found is not None
    assert [(s["id"], s["parent"], s["start"], s["milliseconds"]) for s in found["spans"]] == [
        ("01" * 8, None, 0, 1),
        ("02" * 8, "01" * 8, 5, 20),
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [3, 2, 1]),
        ({"most": 1}, [3]),
        ({"correlation": "b"}, [2]),
        ({"name": "slow"}, [3]),
        ({"milliseconds": 50}, [3, 2]),
    ],
)
def test_traces_are_found_newest_first(
    kept: Traces, wanted: dict[str, Any], found: list[int]
) -> None:
    kept.take(export({"trace": 1, "id": 1, "correlation": "a"}))
    kept.take(export({"trace": 2, "id": 1, "correlation": "b", "took": 50}))
    kept.take(export({"trace": 3, "id": 1, "name": "slow work", "took": 99}))
    assert [row["id"] for row in kept.newest(**wanted)] == [f"{n:02}" * 16 for n in found]


def test_the_oldest_traces_make_room(kept: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MOST_SPANS", 4)
    for trace in (1, 2, 3):
        kept.take(export({"trace": trace, "id": 1}, {"trace": trace, "id": 2, "parent": 1}))
    assert [row["id"] for row in kept.newest()] == ["03" * 16, "02" * 16]


def test_the_slowest_spans_are_those_that_take_most_of_the_time(kept: Traces) -> None:
    kept.take(export(*({"id": n, "name": "often", "took": 10} for n in range(1, 11))))
    kept.take(export({"trace": 2, "id": 1, "name": "once", "took": 60}))
    often, once = kept.slowest()
    assert (often["name"], often["count"], often["total"], often["p95"]) == ("often", 10, 100, 10)
    assert (once["max"], once["p50"], once["trace"]) == (60, 60, "02" * 16)


def measured(process: str, at: int, requests: int, age: float) -> bytes:
    """What a process sends: a counter, a gauge and a histogram."""
    message = ExportMetricsServiceRequest()
    part = message.resource_metrics.add()
    part.resource.attributes.add(key="service.instance.id").value.string_value = process
    scope = part.scope_metrics.add()
    counter = scope.metrics.add(name="requests", unit="1")
    counter.sum.data_points.add(as_double=requests, time_unix_nano=at)
    gauge = scope.metrics.add(name="age", unit="s")
    gauge.gauge.data_points.add(as_double=age, time_unix_nano=at)
    spread = scope.metrics.add(name="duration", unit="s")
    spread.histogram.data_points.add(
        count=2, sum=3, bucket_counts=[1, 1], explicit_bounds=[1], time_unix_nano=at
    )
    return message.SerializeToString()


def test_metrics_of_several_processes_are_one() -> None:
    kept = Metrics()
    kept.take(measured("one", 1, 1, 5))
    kept.take(measured("two", 3, 10, 7))
    kept.take(measured("one", 2, 2, 6))
    rows = {row["name"]: row for row in kept.rows()}
    assert rows["requests"]["value"] == 12
    assert rows["age"]["value"] == 7, "the point that was taken last"
    assert (rows["duration"]["count"], rows["duration"]["buckets"]) == (4, [2, 2])


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("cloud")
    with (
        running(Options(folder, product=False), only=frozenset({"twilio"})) as cloud,
        httpx.Client(base_url=cloud.console_url, timeout=30) as client,
    ):
        yield client


def test_what_is_sent_is_read_at_the_api(console: httpx.Client) -> None:
    assert console.post("/v1/traces", content=export({"id": 1})).status_code == 200
    assert console.post("/v1/metrics", content=measured("one", 1, 1, 5)).status_code == 200
    (row,) = console.get("/api/traces").json()["traces"]
    assert console.get(f"/api/traces/{row['id']}").json()["spans"][0]["service"] == "api"
    assert console.get("/api/spans/slowest").json()["spans"][0]["count"] == 1
    assert len(console.get("/api/metrics").json()["metrics"]) == 3
    assert console.delete("/api/traces").json() == {"traces": []}
    assert console.get("/api/traces").json() == {"traces": []}


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics"])
def test_what_is_no_otlp_is_a_problem(console: httpx.Client, path: str) -> None:
    answer = console.post(path, content=b"\xff\xff\xff")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_a_trace_nobody_knows_is_not_found(console: httpx.Client) -> None:
    assert console.get("/api/traces/nothing").status_code == 404


@pytest.mark.parametrize("query", ["limit=many", "min_ms=long"])
def test_a_question_that_makes_no_sense_is_a_problem(console: httpx.Client, query: str) -> None:
    assert console.get(f"/api/traces?{query}").status_code == 400
