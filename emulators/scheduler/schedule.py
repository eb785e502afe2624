"""Schedules of both kinds that Cloud Scheduler takes: unix-cron, and English as App Engine's cron.

Source: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules, whose alternative
format is that of https://cloud.google.com/appengine/docs/flexible/scheduling-jobs-with-cron-yaml:

- `every 12 hours`, `every 5 minutes`: so long after the run before;
- `every 5 minutes from 10:00 to 14:00`, `every 2 hours synchronized`: at set times of the day;
- `every day 00:00`, `every mon,wed 09:00`, `1st,third tuesday of march 17:30`,
  `1,15 of month 06:00`: at one time of certain days.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import month_name
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Protocol

from emulators.scheduler.cron import BadSchedule, Cron, zone_of

_DAY = 24 * 60
"""In minutes."""
_TIME = r"([01]?[0-9]|2[0-3]):([0-5][0-9])"
_INTERVAL = re.compile(
    rf"every ([1-9][0-9]{{0,4}}) (hours?|mins?|minutes?)( synchronized| from {_TIME} to {_TIME})?"
)
_DAYS = re.compile(
    rf"(?:(every|[a-z0-9,]*[a-z][a-z0-9,]*) ([a-z,]+)|([0-9,]+))(?: of ([a-z,]+))? {_TIME}"
)
_ORDINALS = {
    name: number
    for number, names in enumerate(
        ("1st first", "2nd second", "3rd third", "4th fourth", "5th fifth"), start=1
    )
    for name in names.split()
}
_WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
_MONTHS = [name.lower() for name in month_name[1:]]


class Schedule(Protocol):
    """All instants taken and given are aware and in UTC."""

    def after(self, instant: datetime) -> datetime:
        """The first instant of the schedule later than `instant`."""
        ...

    def from_(self, instant: datetime) -> datetime:
        """The first instant of the schedule at or after `instant`."""
        ...

    def between(self, start: datetime, end: datetime) -> int:
        """How many instants lie strictly between `start` and `end`."""
        ...


def parse_schedule(text: str, time_zone: str) -> Schedule:
    """Read a schedule of either kind. Raises `BadSchedule`."""
    zone_of(time_zone)
    words = " ".join(re.sub(r"\s*,\s*", ",", text).lower().split())
    if match := _INTERVAL.fullmatch(words):
        return _interval(match, time_zone)
    if match := _DAYS.fullmatch(words):
        return _days(text, match, time_zone)
    return Cron(text, time_zone)


@dataclass(frozen=True)
class Interval:
    """So long after the run before."""

    step: timedelta

    def after(self, instant: datetime) -> datetime:
        return instant + self.step

    def from_(self, instant: datetime) -> datetime:
        return instant

    def between(self, start: datetime, end: datetime) -> int:
        return max(-((start - end) // self.step) - 1, 0)


class TimesOfDay:
    """At the same times of every day. A time that a gap swallows comes right after it."""

    def __init__(self, minutes: Iterable[int], time_zone: str) -> None:
        """`minutes` count from midnight and may run over the next one."""
        self._zone = zone_of(time_zone)
        self._times = [time(at // 60, at % 60) for at in sorted({m % _DAY for m in minutes})]
        self._of_day = lru_cache(maxsize=8)(self._instants)

    def after(self, instant: datetime) -> datetime:
        day = instant.astimezone(self._zone).date()
        while True:
            instants = self._of_day(day)
            if (at := bisect_right(instants, instant)) < len(instants):
                return instants[at]
            day += timedelta(days=1)

    def from_(self, instant: datetime) -> datetime:
        return self.after(instant - timedelta(microseconds=1))

    def between(self, start: datetime, end: datetime) -> int:
        first, last = (instant.astimezone(self._zone).date() for instant in (start, end))
        count = bisect_left(self._of_day(last), end) - bisect_right(self._of_day(first), start)
        day = first
        while day < last:
            count += len(self._times) if self._is_plain(day) else len(self._of_day(day))
            day += timedelta(days=1)
        return count

    def _is_plain(self, day: date) -> bool:
        midnights = (
            datetime.combine(each, time(), self._zone) for each in (day, day + timedelta(days=1))
        )
        before, after = (midnight.utcoffset() for midnight in midnights)
        return before == after

    def _instants(self, day: date) -> list[datetime]:
        return sorted({self._instant(datetime.combine(day, at, self._zone)) for at in self._times})

    def _instant(self, local: datetime) -> datetime:
        instant, earlier = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
        if earlier >= instant:
            return instant
        # The time does not exist. The gap lies between the readings by the offsets around it.
        offset = earlier.astimezone(self._zone).utcoffset()
        while earlier.astimezone(self._zone).utcoffset() == offset:
            earlier += timedelta(minutes=1)
        return earlier.replace(second=0, microsecond=0)


def _interval(match: re.Match[str], time_zone: str) -> Schedule:
    step = int(match[1]) * (60 if match[2].startswith("hour") else 1)
    if match[3] is None:
        return Interval(timedelta(minutes=step))
    if match[3] == " synchronized":
        if _DAY % step:
            raise BadSchedule(f'"{match[0]}" does not divide a day evenly.')
        return TimesOfDay(range(0, _DAY, step), time_zone)
    first, last = (int(match[at]) * 60 + int(match[at + 1]) for at in (4, 6))
    if last < first:
        last += _DAY
    return TimesOfDay(range(first, last + 1, step), time_zone)


def _days(text: str, match: re.Match[str], time_zone: str) -> Schedule:
    which, days, dates, months, hour, minute = match.groups()
    in_months = "*"
    if months not in (None, "month"):
        in_months = _listed(_numbers(text, months, _MONTHS, 1))
    on_dates, on_days = "*", "*"
    if dates is not None:
        if months is None:
            raise BadSchedule(f'Schedule "{text}" names days of no month.')
        on_dates = dates
    elif which != "every":
        numbers = [_ORDINALS.get(word, 0) for word in which.split(",")]
        if 0 in numbers:
            raise BadSchedule(f'Schedule "{text}" is not understood.')
        weekdays = _numbers(text, days, _WEEKDAYS, 0)
        on_days = ",".join(f"{day}#{number}" for day in weekdays for number in numbers)
    elif days != "day":
        on_days = _listed(_numbers(text, days, _WEEKDAYS, 0))
    unix = f"{int(minute)} {int(hour)} {on_dates} {in_months} {on_days}"
    return Cron(unix, time_zone, is_checked=True)


def _numbers(text: str, words: str, names: list[str], first: int) -> list[int]:
    """The numbers of names, which may be cut to three letters."""
    numbers = []
    for word in words.split(","):
        found = [at for at, name in enumerate(names) if word in (name, name[:3])]
        if not found:
            raise BadSchedule(f'Schedule "{text}" is not understood: "{word}".')
        numbers.append(found[0] + first)
    return numbers


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(str(number) for number in sorted(numbers))
