"""Timestamps and durations of protobuf messages."""

from datetime import UTC, datetime, timedelta
from typing import Any

from emulators.api.refusals import invalid
from emulators.clock import micros

# The ranges of google/protobuf/duration.proto and timestamp.proto.
_DURATION_SECONDS = 315_576_000_000
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_NANOS = 10**9


def stamp(timestamp: Any, instant: Any) -> None:
    """Set a protobuf Timestamp to an aware instant, to the microsecond."""
    timestamp.FromMicroseconds(micros(instant))


def check_timestamp(timestamp: Any, name: str) -> None:
    """Refuse a Timestamp outside the years 1 to 9999."""
    in_range = _FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND
    if not in_range or not 0 <= timestamp.nanos < _NANOS:
        raise invalid(f"{name} is not a valid timestamp.")


def instant(timestamp: Any, name: str) -> datetime:
    """The value of a protobuf Timestamp in UTC; refused as by `check_timestamp`."""
    check_timestamp(timestamp, name)
    value: datetime = timestamp.ToDatetime(UTC)
    return value


def span(duration: Any, name: str) -> timedelta:
    """The value of a protobuf Duration, which must be well-formed and not negative."""
    seconds, nanos = duration.seconds, duration.nanos
    if seconds < 0 or nanos < 0:
        raise invalid(f"{name} cannot be negative.")
    if seconds > _DURATION_SECONDS or nanos >= _NANOS:
        raise invalid(f"{name} is not a valid duration.")
    return timedelta(seconds=seconds, microseconds=nanos // 1000)
