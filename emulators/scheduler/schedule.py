"""Schedules of both kinds that Cloud Scheduler takes: unix-cron, and English as App Engine's cron.

Source: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules, whose alternative
format is that of https://cloud.google.com/appengine/docs/flexible/scheduling-jobs-with-cron-yaml:

- `every 12 hours`, `every 5 minutes`: so long after the run before;
- `every 5 minutes from 10:00 to 14:00`, `every 2 hours synchronized`: at set times of the day;
- `every day 00:00`, `every mon,wed 09:00`, `1st,third tuesday of march 17:30`,
  `1,15 of month 06:00`: at one time of certain days.
"""

import re
from calendar import month_name
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from emulators.scheduler.cron import BadSchedule, Cron, zone_of

_MINUTES_A_DAY = 24 * 60
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


@dataclass(frozen=True)
class Union:
    """The instants of several schedules that have none in common."""

    parts: tuple[Cron, ...]

    def after(self, instant: datetime) -> datetime:
        return min(part.after(instant) for part in self.parts)

    def from_(self, instant: datetime) -> datetime:
        return min(part.from_(instant) for part in self.parts)

    def between(self, start: datetime, end: datetime) -> int:
        return sum(part.between(start, end) for part in self.parts)


def _interval(match: re.Match[str], time_zone: str) -> Schedule:
    step = int(match[1]) * (60 if match[2].startswith("hour") else 1)
    if match[3] is None:
        return Interval(timedelta(minutes=step))
    if match[3] == " synchronized":
        if _MINUTES_A_DAY % step:
            raise BadSchedule(f'"{match[0]}" does not divide a day evenly.')
        return _at_times(range(0, _MINUTES_A_DAY, step), time_zone)
    first, last = (int(match[at]) * 60 + int(match[at + 1]) for at in (4, 6))
    if last < first:
        last += _MINUTES_A_DAY
    return _at_times(range(first, last + 1, step), time_zone)


def _at_times(minutes: Iterable[int], time_zone: str) -> Schedule:
    """At these minutes of every day, which may run over midnight."""
    hours: dict[int, set[int]] = defaultdict(set)
    for at in minutes:
        hours[at % 60].add(at // 60 % 24)
    together: dict[frozenset[int], list[int]] = defaultdict(list)
    for minute, of_hours in hours.items():
        together[frozenset(of_hours)].append(minute)
    return Union(
        tuple(
            Cron(f"{_listed(of_minutes)} {_listed(of_hours)} * * *", time_zone)
            for of_hours, of_minutes in together.items()
        )
    )


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
