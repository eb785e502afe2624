"""Unix-cron schedules in a time zone: their instants, and how many lie in a span.

The format is that of https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules: five
fields of numbers, names, lists, ranges and steps. Around clock changes jobs behave as Debian's cron
does: one at a fixed time that a gap swallows runs right after the gap, one in a fold runs once,
while jobs with a `*` minute or hour follow elapsed time.
"""

import re
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_FIELD = r"[0-9*,/\-]+"
_NAMED = r"[0-9A-Za-z*,/\-]+"
_FORM = re.compile(rf"\s*{_FIELD}\s+{_FIELD}\s+{_FIELD}\s+{_NAMED}\s+{_NAMED}\s*")
_LAST_WEEKDAY = re.compile(r"\dL", re.IGNORECASE)
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


class BadSchedule(ValueError):
    """The schedule or its time zone cannot be understood; the message says why."""


class Cron:
    """One schedule. All instants taken and given are aware and in UTC."""

    def __init__(self, schedule: str, time_zone: str, *, is_checked: bool = False) -> None:
        """`is_checked` takes a weekday's number in its month (`1#2`) too, which unix-cron lacks."""
        is_unix = _FORM.fullmatch(schedule) and not _LAST_WEEKDAY.search(schedule)
        if not is_unix and not is_checked:
            raise BadSchedule(f'Schedule "{schedule}" is not in the unix-cron format.')
        self._schedule = schedule
        self._zone = zone_of(time_zone)
        try:
            self._parts = CronSim(schedule, _ANY_TIME)
            next(self._parts)
        except (CronSimError, StopIteration) as error:
            raise BadSchedule(f'Schedule "{schedule}" never comes due: {error}.') from None
        hours, minutes = sorted(self._parts.hours), sorted(self._parts.minutes)
        self._slots = [time(hour, minute) for hour in hours for minute in minutes]

    def after(self, instant: datetime) -> datetime:
        """The first instant of the schedule later than `instant`."""
        for local in CronSim(self._schedule, instant.astimezone(self._zone)):
            found: datetime = local.astimezone(UTC)
            if found > instant:  # a fold may bring the iteration back
                return found
        raise BadSchedule(f'Schedule "{self._schedule}" has no further instant.')

    def from_(self, instant: datetime) -> datetime:
        """The first instant of the schedule at or after `instant`."""
        return self.after(instant - _TICK)

    def between(self, start: datetime, end: datetime) -> int:
        """How many instants lie strictly between `start` and `end`.

        Whole days are counted, not visited, but for the few on which the clocks change.
        """
        count, day = 0, start.astimezone(self._zone).date()
        while (midnight := self._midnight(day)) < end:
            following = self._midnight(day + _DAY)
            if following - midnight == _DAY:
                count += self._on_plain_day(day, max(start, midnight - _TICK), min(end, following))
            else:
                count += self._visited(max(start, midnight - _TICK), min(end, following))
            day += _DAY
        return count

    def _on_plain_day(self, day: date, start: datetime, end: datetime) -> int:
        """The slots of a day without clock change, strictly between `start` and `end`."""
        if day.month not in self._parts.months or not self._parts.match_day(day):
            return 0
        first = 0
        if start >= self._midnight(day):
            first = bisect_right(self._slots, start.astimezone(self._zone).time())
        last = len(self._slots)
        if end < self._midnight(day + _DAY):
            last = bisect_left(self._slots, end.astimezone(self._zone).time())
        return max(last - first, 0)

    def _visited(self, start: datetime, end: datetime) -> int:
        count, instant = 0, self.after(start)
        while instant < end:
            count, instant = count + 1, self.after(instant)
        return count

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone).astimezone(UTC)


def zone_of(name: str) -> tzinfo:
    if name.lower() in ("", "utc", "etc/utc", "gmt"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadSchedule(f'Time zone "{name}" is not in the tz database.') from None
