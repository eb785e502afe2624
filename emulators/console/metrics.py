"""Metrics as the functions send them (OTLP): the latest point of each, over all processes.

Counters, histograms and what adds up are summed over the processes, ended ones too; of a gauge the
point that was taken last counts.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from emulators.console.traces import NotOtlp, attributes

Row = dict[str, Any]
Key = tuple[str, tuple[tuple[str, Any], ...]]
_MOST_PROCESSES = 32


class Metrics:
    """What each process said last; the processes heard of least lately make room."""

    def __init__(self) -> None:
        self._processes: OrderedDict[str, dict[Key, Row]] = OrderedDict()

    def take(self, body: bytes) -> None:
        """Put what a process sent in the place of what it sent before. Raises `NotOtlp`."""
        message = ExportMetricsServiceRequest()
        try:
            message.ParseFromString(body)
        except DecodeError:
            raise NotOtlp("the body is not an OTLP export of metrics") from None
        for part in message.resource_metrics:
            process = str(attributes(part.resource.attributes).get("service.instance.id", ""))
            own = self._processes.setdefault(process, {})
            self._processes.move_to_end(process)
            for scope in part.scope_metrics:
                for metric in scope.metrics:
                    own.update(_points(metric))
        while len(self._processes) > _MOST_PROCESSES:
            self._processes.popitem(last=False)

    def rows(self) -> list[Row]:
        """One row for each metric and set of attributes, by name."""
        found: dict[Key, Row] = {}
        for points in self._processes.values():
            for key, point in points.items():
                found[key] = _merged(found[key], point) if key in found else dict(point)
        return sorted(found.values(), key=lambda row: (row["name"], str(row["attributes"])))


def _points(metric: Any) -> Iterator[tuple[Key, Row]]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points if kind else ():
        named = attributes(point.attributes)
        row = {
            "name": metric.name,
            "unit": metric.unit,
            "kind": kind,
            "attributes": named,
            "at": int(point.time_unix_nano),
        }
        if kind == "histogram":
            row |= {"count": int(point.count), "sum": point.sum}
            row["buckets"] = list(point.bucket_counts)
            row["bounds"] = list(point.explicit_bounds)
        else:
            row["value"] = point.as_double
        yield (metric.name, tuple(sorted(named.items()))), row


def _merged(one: Row, other: Row) -> Row:
    """What two processes' points say together."""
    newer = max(one, other, key=lambda row: int(row["at"]))
    if one["kind"] == "gauge" or one.get("bounds") != other.get("bounds"):
        return dict(newer)
    if one["kind"] == "sum":
        return newer | {"value": one["value"] + other["value"]}
    pairs = zip(one["buckets"], other["buckets"], strict=True)
    return newer | {
        "count": one["count"] + other["count"],
        "sum": one["sum"] + other["sum"],
        "buckets": [sum(pair) for pair in pairs],
    }
