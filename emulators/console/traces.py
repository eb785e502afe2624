"""Traces and metrics as the functions send them (OTLP over HTTP), kept in memory, newest first.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request. Times are the machine's, not
virtual: they say how long things take.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Row = dict[str, Any]
_MOST_SPANS = 60_000
_CORRELATION = "clinicloop.correlation_id"
_KINDS = ("", "internal", "server", "client", "producer", "consumer")


class NotOtlp(ValueError):
    """The body is not what OTLP sends."""


@dataclass
class Trace:
    """The spans of one trace that have come so far, as (service, OTLP span)."""

    id: str
    spans: list[tuple[str, Any]] = field(default_factory=list)
    _summary: Row = field(default_factory=dict)

    @property
    def first(self) -> Any:
        """The span it began with: a root, or else the earliest that came."""
        roots = [span for _, span in self.spans if not span.parent_span_id]
        every = roots or [span for _, span in self.spans]
        return min(every, key=lambda span: span.start_time_unix_nano)

    @property
    def start(self) -> int:
        return min(int(span.start_time_unix_nano) for _, span in self.spans)

    @property
    def milliseconds(self) -> float:
        """From the first start to the last end."""
        end = max(int(span.end_time_unix_nano) for _, span in self.spans)
        return _milliseconds(end - self.start)

    @property
    def correlations(self) -> set[str]:
        found = (attributes(span.attributes).get(_CORRELATION) for _, span in self.spans)
        return {str(value) for value in found if value}

    def summary(self) -> Row:
        """One row of the list; made anew when spans have come since."""
        if self._summary.get("spans") != len(self.spans):
            self._summary = self._summarised()
        return self._summary

    def _summarised(self) -> Row:
        return {
            "id": self.id,
            "name": self.first.name,
            "start": _instant(self.start),
            "milliseconds": self.milliseconds,
            "spans": len(self.spans),
            "errors": sum(_failed(span) for _, span in self.spans),
            "services": sorted({service for service, _ in self.spans}),
            "correlations": sorted(self.correlations),
        }

    def described(self) -> Row:
        """All there is to see of it, in order of start."""
        ordered = sorted(self.spans, key=lambda pair: int(pair[1].start_time_unix_nano))
        rows = [_described(service, span, self.start) for service, span in ordered]
        return self.summary() | {"spans": rows}


class Traces:
    """The newest traces; the oldest make room when there are too many spans."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._count = 0

    def take(self, body: bytes) -> None:
        """Add what an exporter sent. Raises `NotOtlp`."""
        message = ExportTraceServiceRequest()
        try:
            message.ParseFromString(body)
        except DecodeError:
            raise NotOtlp("the body is not an OTLP export of traces") from None
        for part in message.resource_spans:
            service = str(attributes(part.resource.attributes).get("service.name", "unknown"))
            for scope in part.scope_spans:
                for span in scope.spans:
                    self._add(service, span)

    def _add(self, service: str, span: Any) -> None:
        trace_id = span.trace_id.hex()
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = Trace(trace_id)
        trace.spans.append((service, span))
        self._count += 1
        while self._count > _MOST_SPANS and len(self._traces) > 1:
            _, oldest = self._traces.popitem(last=False)
            self._count -= len(oldest.spans)

    def newest(
        self, most: int = 100, correlation: str = "", name: str = "", milliseconds: float = 0
    ) -> list[Row]:
        """At most `most` traces: of a correlation id, with `name` in a span's, at least so long."""
        found: list[Row] = []
        for trace in reversed(self._traces.values()):
            if len(found) >= most:
                break
            summary = trace.summary()
            if (
                (not correlation or correlation in summary["correlations"])
                and (not name or any(name in span.name for _, span in trace.spans))
                and summary["milliseconds"] >= milliseconds
            ):
                found.append(summary)
        return found

    def find(self, trace_id: str) -> Row | None:
        trace = self._traces.get(trace_id)
        return None if trace is None else trace.described()

    def slowest(self, most: int = 30) -> list[Row]:
        """Spans by service and name, those first that took most of the time in all."""
        took: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
        for trace in self._traces.values():
            for service, span in trace.spans:
                lasted = int(span.end_time_unix_nano) - int(span.start_time_unix_nano)
                took[service, span.name].append((_milliseconds(lasted), trace.id))
        rows = [_statistics(*key, values) for key, values in took.items()]
        rows.sort(key=lambda row: -float(row["total"]))
        return rows[:most]

    def clear(self) -> None:
        """Forget everything."""
        self._traces.clear()
        self._count = 0


def _statistics(service: str, name: str, values: list[tuple[float, str]]) -> Row:
    """Milliseconds; `trace` is the one that has the slowest of them."""
    times = [time for time, _ in values]
    cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    longest, trace = max(values)
    return {
        "service": service,
        "name": name,
        "count": len(times),
        "total": round(sum(times), 3),
        "p50": round(cuts[49], 3),
        "p95": round(cuts[94], 3),
        "p99": round(cuts[98], 3),
        "max": longest,
        "trace": trace,
    }


def _described(service: str, span: Any, origin: int) -> Row:
    start, end = int(span.start_time_unix_nano), int(span.end_time_unix_nano)
    return {
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex() or None,
        "name": span.name,
        "service": service,
        "kind": _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "",
        "start": _milliseconds(start - origin),
        "milliseconds": _milliseconds(end - start),
        "failed": _failed(span),
        "attributes": attributes(span.attributes),
        "links": [link.trace_id.hex() for link in span.links],
    }


def _failed(span: Any) -> bool:
    return bool(span.status.code == 2)


def attributes(pairs: Iterable[Any]) -> Row:
    """OTLP's key-value pairs as a plain mapping; lists and the like by their text."""
    return dict(_values(pairs))


def _values(pairs: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        if kind in ("string_value", "bool_value", "int_value", "double_value"):
            yield pair.key, getattr(pair.value, kind)
        elif kind is not None:
            yield pair.key, str(getattr(pair.value, kind))


def _milliseconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 3)


def _instant(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat()
