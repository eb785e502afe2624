"""Structured logs: one JSON object a line, in Cloud Logging's field names.

structlog is imported when something is first logged, not when a function starts.
"""

import sys
from collections.abc import MutableMapping
from functools import cache
from typing import Any

_SEVERITY = {"warning": "WARNING", "error": "ERROR", "critical": "CRITICAL", "debug": "DEBUG"}
_SAFE = (str, int, float, bool, type(None))
_LONGEST = 300


def _cloud_logging(_: Any, method: str, entry: MutableMapping[str, Any]) -> dict[str, Any]:
    """Rename to Cloud Logging's fields; keep plain values only, on one line."""
    fields: dict[str, Any] = {"severity": _SEVERITY.get(method, "INFO")}
    fields["message"] = entry.pop("event", "")
    for name, value in entry.items():
        shown = value if isinstance(value, _SAFE) else type(value).__name__
        fields[name] = shown[:_LONGEST].replace("\n", " ") if isinstance(shown, str) else shown
    return fields


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
