"""Schedules in English mean what App Engine's cron documentation says."""

from datetime import UTC, datetime, timedelta

import pytest

from emulators.scheduler.cron import BadSchedule
from emulators.scheduler.schedule import parse_schedule

NEW_YEAR = datetime(2030, 1, 1, 0, 0, tzinfo=UTC)  # a Tuesday


def _next(schedule: str, count: int, zone: str = "UTC") -> list[str]:
    instants, at = [], NEW_YEAR
    for _ in range(count):
        at = parse_schedule(schedule, zone).after(at)
        instants.append(f"{at:%m-%d %H:%M}")
    return instants


@pytest.mark.parametrize(
    ("schedule", "instants"),
    [
        ("every 12 hours", ["01-01 12:00", "01-02 00:00"]),
        ("every 5 minutes", ["01-01 00:05", "01-01 00:10"]),
        ("every 1 mins", ["01-01 00:01", "01-01 00:02"]),
        ("every 2 hours synchronized", ["01-01 02:00", "01-01 04:00"]),
        ("every 90 minutes synchronized", ["01-01 01:30", "01-01 03:00"]),
        ("every 3 hours from 08:00 to 14:00", ["01-01 08:00", "01-01 11:00", "01-01 14:00"]),
        ("every 2 hours from 22:30 to 03:00", ["01-01 00:30", "01-01 02:30", "01-01 22:30"]),
        ("every day 00:00", ["01-02 00:00", "01-03 00:00"]),
        ("every monday 09:00", ["01-07 09:00", "01-14 09:00"]),
        ("Every Mon, Wed of march 7:05", ["03-04 07:05", "03-06 07:05"]),
        ("1st monday of sep,oct,nov 17:00", ["09-02 17:00", "10-07 17:00", "11-04 17:00"]),
        ("2nd,third tue,thu of month 10:30", ["01-08 10:30", "01-10 10:30", "01-15 10:30"]),
        ("first sunday of month 04:00", ["01-06 04:00", "02-03 04:00"]),
        ("1 of jan,april,july,oct 00:00", ["04-01 00:00", "07-01 00:00"]),
        ("1,15 of month 06:00", ["01-01 06:00", "01-15 06:00"]),
    ],
)
def test_instants_of_a_schedule_in_english(schedule: str, instants: list[str]) -> None:
    assert _next(schedule, len(instants)) == instants


def test_times_of_day_are_those_of_the_zone() -> None:
    assert _next("every day 09:00", 1, "America/New_York") == ["01-01 14:00"]


@pytest.mark.parametrize(
    "schedule",
    [
        "every",
        "every 0 minutes",
        "every -1 minutes",
        "every 7 hours synchronized",
        "every day",
        "every day 24:00",
        "every someday 10:00",
        "every mon of octember 10:00",
        "6th monday of month 10:00",
        "1st day of month 10:00",
        "1 10:00",
        "32 of month 10:00",
        "1,,2 of month 10:00",
        "30 of feb 10:00",
        "soon",
    ],
)
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(BadSchedule):
        parse_schedule(schedule, "UTC")


@pytest.mark.parametrize(
    "schedule",
    ["every 7 minutes", "every 45 minutes synchronized", "every 25 minutes from 21:00 to 02:00"],
)
@pytest.mark.parametrize(
    "day",
    [datetime(2030, 3, 30, 5, 17, tzinfo=UTC), datetime(2030, 10, 26, 23, 0, tzinfo=UTC)],
)
def test_counted_instants_are_those_visited(schedule: str, day: datetime) -> None:
    parsed = parse_schedule(schedule, "Europe/Berlin")
    start = parsed.after(day)
    end = start + timedelta(days=2, minutes=3)
    visited, instant = 0, parsed.after(start)
    while instant < end:
        visited, instant = visited + 1, parsed.after(instant)
    assert parsed.between(start, end) == visited


def test_times_in_a_gap_come_once_right_after_it() -> None:
    parsed = parse_schedule("every 20 minutes from 02:00 to 02:40", "Europe/Berlin")
    after = datetime(2030, 3, 31, 1, 0, tzinfo=UTC)
    assert parsed.after(datetime(2030, 3, 30, 12, tzinfo=UTC)) == after
    assert parsed.after(after) == datetime(2030, 4, 1, 0, 0, tzinfo=UTC)


def test_times_in_a_fold_come_once() -> None:
    parsed = parse_schedule("every 20 minutes from 02:00 to 02:20", "Europe/Berlin")
    first = parsed.after(datetime(2030, 10, 26, 12, tzinfo=UTC))
    second = parsed.after(first)
    assert (first.hour, second - first) == (0, timedelta(minutes=20))
    assert parsed.after(second) == datetime(2030, 10, 28, 1, 0, tzinfo=UTC)
