"""Structured logs: one JSON object a line, in Cloud Logging's field names.

A line written within a request names its trace, its function and what it is part of. structlog
is imported when something is first logged, not when a function starts.
"""

import os
import sys
from collections.abc import MutableMapping
from functools import cache
from typing import Any

from shared.platform.telemetry import traces

_SEVERITY = {"warning": "WARNING", "error": "ERROR", "critical": "CRITICAL", "debug": "DEBUG"}
_SAFE = (str, int, float, bool, type(None))
_LONGEST = 300


def _cloud_logging(_: Any, method: str, entry: MutableMapping[str, Any]) -> dict[str, Any]:
    """Rename to Cloud Logging's fields; keep plain values only, on one line."""
    fields: dict[str, Any] = {"severity": _SEVERITY.get(method, "INFO")}
    fields["message"] = entry.pop("event", "")
    for name, value in entry.items():
        shown = value if isinstance(value, _SAFE) else type(value).__name__
        fields[name] = _line(shown) if isinstance(shown, str) else shown
    return fields | _place()


def _line(text: str) -> str:
    """`text`, short and on one line for whoever prints the entry."""
    return " ".join(text[: 2 * _LONGEST].splitlines())[:_LONGEST]


def _place() -> dict[str, Any]:
    """The trace and the request the line belongs to.

    Source: https://cloud.google.com/logging/docs/structured-logging#special-payload-fields.
    """
    span = traces.current()
    if span is None:
        return {}
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    trace = f"{span.trace_id:032x}"
    known = {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{trace}" if project else trace,
        "logging.googleapis.com/spanId": f"{span.span_id:016x}",
        "logging.googleapis.com/trace_sampled": span.sampled,
        "function": span.request.function,
    }
    correlation_id = span.request.correlation_id
    return known | ({"correlation_id": _line(correlation_id)} if correlation_id else {})


@cache
def _logger() -> Any:
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _cloud_logging,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()


class _Log:
    """Hands over to structlog, which it loads on first use."""

    def __getattr__(self, method: str) -> Any:
        return getattr(_logger(), method)


log: Any = _Log()
"""`log.info("what_happened", name=value)`. Values are ids, codes, numbers; exceptions by type."""
