"""When a term begins and ends: month ends, leap years, and days whose midnight is odd."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domains.contracts import model
from shared.domains.contracts.model import Contract, TermEnd
from tests.unit.contracts.lives import active, noon, plan, requested

MOMENT = timedelta(microseconds=1)
ODD_MIDNIGHTS = [
    ("America/Sao_Paulo", date(2018, 11, 4)),  # 00:00 is skipped
    ("America/Sao_Paulo", date(2018, 2, 18)),  # 23:00 of the day before comes twice
    ("America/Havana", date(2025, 3, 9)),  # 00:00 is skipped
    ("America/Havana", date(2024, 11, 3)),  # 00:00 comes twice
    ("Africa/Cairo", date(2024, 4, 26)),
    ("Asia/Beirut", date(2022, 3, 27)),
    ("America/Asuncion", date(2023, 10, 1)),
    ("Pacific/Apia", date(2011, 12, 30)),  # the whole day is skipped
]
days = st.dates(date(2000, 1, 1), date(2036, 12, 31))
zones = st.sampled_from(
    ["Europe/Berlin", "America/Havana", "Africa/Cairo", "Asia/Kolkata", "Australia/Lord_Howe"]
    + [name for name, _ in ODD_MIDNIGHTS]
).map(ZoneInfo)


def ends(first: date, months: int, terms: int) -> list[date]:
    """The ends of consecutive terms."""
    contract, found = requested(first, plan(term_months=months)), []
    for _ in range(terms):
        found.append(contract.ends_on)
        contract = successor_of(contract, months)
    return found


def successor_of(contract: Contract, months: int) -> Contract:
    return model.succeed(contract, plan(term_months=months), contract.updated_at)


@pytest.mark.parametrize(("name", "day"), ODD_MIDNIGHTS)
def test_a_day_begins_when_the_clocks_first_show_it(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    begins = model.midnight(day, zone)
    assert (begins - MOMENT).astimezone(zone).date() < day <= begins.astimezone(zone).date()


@given(days, zones)
def test_every_day_begins_when_the_clocks_first_show_it(day: date, zone: ZoneInfo) -> None:
    begins = model.midnight(day, zone)
    assert begins.tzinfo is UTC
    assert (begins - MOMENT).astimezone(zone).date() < day <= begins.astimezone(zone).date()


@pytest.mark.parametrize(("name", "day"), ODD_MIDNIGHTS)
def test_a_contract_begins_on_a_day_whose_midnight_is_odd(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    begins = model.midnight(day, zone)
    earlier = noon(day - timedelta(days=1), zone)
    asked = model.request(
        *(requested().id, requested().customer_id), plan(), "sub-1", day, earlier, zone
    )
    linked = model.link(asked, earlier)
    assert model.activate(linked, begins - MOMENT, zone) is None
    assert model.activate(linked, begins, zone) is not None


@given(days, zones, st.integers(1, 36))
def test_renewal_is_due_one_day_before_the_end_and_not_before(
    first: date, zone: ZoneInfo, months: int
) -> None:
    sold = plan(term_months=months)
    contract = active(first, sold, zone)
    due = model.renewal_at(contract, zone)
    assert model.at_term_end(contract, sold, due - MOMENT, zone) is None
    assert model.at_term_end(contract, sold, due, zone) is TermEnd.RENEW
    assert due.astimezone(zone).date() >= contract.ends_on - timedelta(days=1)


def test_a_term_from_the_31st_ends_on_the_last_day_of_a_shorter_month() -> None:
    assert requested(date(2026, 8, 31)).ends_on == date(2027, 2, 28)
    assert requested(date(2027, 8, 31)).ends_on == date(2028, 2, 29)


def test_terms_return_to_the_31st_where_the_month_has_one() -> None:
    assert ends(date(2026, 8, 31), 6, 4) == [
        date(2027, 2, 28), date(2027, 8, 31), date(2028, 2, 29), date(2028, 8, 31),
    ]  # fmt: skip


def test_monthly_terms_keep_their_day_through_february() -> None:
    assert ends(date(2027, 12, 31), 1, 4) == [
        date(2028, 1, 31), date(2028, 2, 29), date(2028, 3, 31), date(2028, 4, 30),
    ]  # fmt: skip


def test_a_term_from_a_leap_day_returns_to_it() -> None:
    assert ends(date(2024, 2, 29), 12, 4) == [
        date(2025, 2, 28), date(2026, 2, 28), date(2027, 2, 28), date(2028, 2, 29),
    ]  # fmt: skip


def test_after_a_pause_terms_keep_the_day_on_which_the_first_then_ends() -> None:
    zone = ZoneInfo("Europe/Berlin")
    contract = active(date(2026, 1, 31))
    paused = model.pause(contract, noon(date(2026, 3, 1)), zone)
    resumed = model.resume(paused, noon(date(2026, 3, 11)), zone)
    assert resumed.ends_on == date(2026, 8, 10)
    assert successor_of(resumed, 6).ends_on == date(2027, 2, 10)


def test_a_pause_and_resumption_on_one_day_moves_nothing() -> None:
    zone = ZoneInfo("Europe/Berlin")
    contract = active(date(2026, 8, 31))
    at = noon(date(2026, 9, 5))
    resumed = model.resume(model.pause(contract, at, zone), at + timedelta(hours=1), zone)
    assert (resumed.ends_on, resumed.term_day) == (contract.ends_on, 31)


@given(days, st.integers(1, 36))
def test_terms_never_overlap_nor_leave_a_day_out(first: date, months: int) -> None:
    contract = requested(first, plan(term_months=months))
    following = successor_of(contract, months)
    assert following.starts_on == contract.ends_on < following.ends_on


def test_days_stood_still_are_counted_by_the_clinics_days() -> None:
    zone = ZoneInfo("America/New_York")
    contract = active(date(2026, 1, 5), zone=zone)
    late = datetime(2026, 2, 2, 3, tzinfo=UTC)  # the evening of the 1st there
    resumed = model.resume(model.pause(contract, late, zone), late + timedelta(hours=3), zone)
    assert resumed.ends_on == contract.ends_on + timedelta(days=1)
