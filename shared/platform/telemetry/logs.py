"""Structured logs: one JSON object a line, in Cloud Logging's field names.

A line written within a request names its trace, its function and what it is part of. structlog
is imported when something is first logged, not when a function starts. `failure=error` reports an
unexpected error by its type and place.
"""

import os
import sys
import traceback
from collections.abc import MutableMapping
from functools import cache
from typing import Any

from shared.platform.telemetry import traces

_SEVERITY = {"warning": "WARNING", "error": "ERROR", "critical": "CRITICAL", "debug": "DEBUG"}
_SAFE = (str, int, float, bool, type(None))
_LONGEST = 300
_FRAMES = 20
_REPORTED = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"


def _cloud_logging(_: Any, method: str, entry: MutableMapping[str, Any]) -> dict[str, Any]:
    """Rename to Cloud Logging's fields; keep plain values only, on one line."""
    fields: dict[str, Any] = {"severity": _SEVERITY.get(method, "INFO")}
    fields["message"] = entry.pop("event", "")
    if isinstance(failure := entry.pop("failure", None), BaseException):
        fields |= _report(failure)
    for name, value in entry.items():
        shown = value if isinstance(value, _SAFE) else type(value).__name__
        fields[name] = _line(shown) if isinstance(shown, str) else shown
    return fields | _place()


def _report(failure: BaseException) -> dict[str, Any]:
    """What lets Error Reporting group failures: the type and the way there, but no value.

    Source: https://cloud.google.com/error-reporting/docs/formatting-error-messages.
    """
    frames = traceback.extract_tb(failure.__traceback__, limit=-_FRAMES)
    way = [f'  File "{one.filename}", line {one.lineno}, in {one.name}' for one in frames]
    kind = type(failure).__name__
    service = os.environ.get("K_SERVICE") or _function()
    return {
        "@type": _REPORTED,
        "error": kind,
        "place": f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "",
        "stack_trace": "\n".join(["Traceback (most recent call last):", *way, kind]),
        "serviceContext": {"service": service, "version": os.environ.get("K_REVISION", "")},
    }


def _function() -> str:
    span = traces.current()
    return span.request.function if span is not None else ""


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
