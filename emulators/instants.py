"""How a person names an instant of virtual time: by a step from now, or outright."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.relativedelta import relativedelta

_ISO = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_SHORT = re.compile(r"(\d+)(mo|min|[ywdhms])")
_UNITS = {
    "y": "years",
    "mo": "months",
    "w": "weeks",
    "d": "days",
    "h": "hours",
    "m": "minutes",
    "min": "minutes",
    "s": "seconds",
}
_ZONED = re.compile(r"(?P<local>[^\[]+)\[!?(?P<zone>[^\]]+)\]")
_FORMS = "write +6mo, +1h30m, P6M, 2027-03-01T09:00Z or 2027-03-01T09:00[Europe/Berlin]"


class BadInstant(ValueError):
    """The text names no step and no instant; the message says why, or shows the forms that do."""

    def __init__(self, text: str, why: str = _FORMS) -> None:
        super().__init__(f"{text!r} is no time: {why}")


def step(text: str) -> relativedelta:
    """A calendar step: `+6mo`, `1d12h` (y mo w d h m s) or ISO 8601 (`P6M`, `PT30M`)."""
    short = text.removeprefix("+")
    if found := _ISO.fullmatch(short):
        parts = {unit: int(value) for unit, value in found.groupdict().items() if value}
    else:
        pairs = _SHORT.findall(short)
        whole = "".join(value + unit for value, unit in pairs) == short
        parts = {_UNITS[unit]: int(value) for value, unit in pairs} if whole else {}
    if not parts:
        raise BadInstant(text)
    return relativedelta(**parts)  # type: ignore[arg-type, unused-ignore]


def instant(text: str) -> datetime:
    """An instant in UTC from ISO 8601, with an offset, an IANA zone in brackets, or else UTC.

    A local time that a zone skips is read with the offset before the gap, one that it has twice is
    the first (RFC 5545, section 3.3.5): 02:30 on the day clocks go forward is 03:30. An offset
    beside the zone chooses the other, and must be one the zone has at that instant; `Z` beside it
    is the instant in UTC (RFC 9557, section 3.4).
    """
    try:
        if zoned := _ZONED.fullmatch(text):
            return _in_zone(text, datetime.fromisoformat(zoned["local"]), ZoneInfo(zoned["zone"]))
        value = datetime.fromisoformat(text)
    except BadInstant:
        raise
    except (ValueError, OverflowError, ZoneInfoNotFoundError, OSError):  # a folder is no zone
        raise BadInstant(text) from None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


def _in_zone(text: str, value: datetime, zone: ZoneInfo) -> datetime:
    if value.tzinfo is None:
        return value.replace(tzinfo=zone).astimezone(UTC)
    there = value.astimezone(zone)
    is_utc = text.partition("[")[0].upper().endswith("Z")
    if not is_utc and there.utcoffset() != value.utcoffset():
        found, given = there.isoformat()[-6:], value.isoformat()[-6:]
        raise BadInstant(text, f"{zone.key} is at {found} then, not at {given}")
    return value.astimezone(UTC)


def target(text: str, now: datetime) -> datetime:
    """The instant that `text` means at `now`: a step from it when it starts with `+` or `P`."""
    try:
        return now + step(text) if text[:1] in ("+", "P") else instant(text)
    except BadInstant:
        raise
    except (OverflowError, ValueError):
        raise BadInstant(text) from None
