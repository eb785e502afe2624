"""Cron arithmetic: counting a schedule's instants agrees with visiting them."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from emulators.scheduler.cron import Cron

YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "*/7 * * * *",
        "0 9 * * 1",
        "30 2 * * *",
        "15,45 1-3 * * *",
        "0 */2 1 * *",
        "5 4 * jan-jun sun",
        "0 0 * * *",
        "59 23 28-31 2 *",
    ],
)
@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"]
)
def test_counted_instants_are_those_visited(schedule: str, zone: str) -> None:
    random = Random(f"{schedule} {zone}")
    cron = Cron(schedule, zone)
    for _ in range(8):
        start = YEAR + timedelta(seconds=random.randrange(365 * 86400))
        end = start + timedelta(seconds=random.choice([60, 7200, 86400, 5 * 86400]))
        start, end = random.choice([(start, end), (cron.from_(start), cron.from_(end))])
        visited, instant = 0, cron.after(start)
        while instant < end:
            visited, instant = visited + 1, cron.after(instant)
        assert cron.between(start, end) == visited


def test_instants_around_every_change_of_the_clocks_are_counted() -> None:
    cron = Cron("*/20 * * * *", "America/New_York")
    assert cron.between(YEAR, YEAR + timedelta(days=365)) == 365 * 24 * 3 - 1


def test_instants_never_go_back_in_a_fold() -> None:
    cron = Cron("15,45 1 * * *", "America/New_York")
    in_second_hour = datetime(2026, 11, 1, 6, 20, tzinfo=UTC)
    assert cron.after(in_second_hour) == datetime(2026, 11, 2, 6, 15, tzinfo=UTC)


def test_both_swallowed_times_of_a_gap_make_one_instant() -> None:
    cron = Cron("15,45 2 * * *", "America/New_York")
    first = cron.after(datetime(2026, 3, 8, 5, tzinfo=UTC))
    assert first == datetime(2026, 3, 8, 7, tzinfo=UTC)
    assert cron.after(first) == datetime(2026, 3, 9, 6, 15, tzinfo=UTC)
