"""The one source of business time. Everything that decides by time reads it here."""

from collections.abc import Callable
from datetime import UTC, datetime


def _system_now() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system_now


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return _source()


def use(source: Callable[[], datetime] | None) -> None:
    """Take the time from `source` (aware UTC instants); `None` restores the system's."""
    global _source  # noqa: PLW0603 -- one process has one clock
    _source = source or _system_now
