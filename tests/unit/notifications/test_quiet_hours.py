"""Quiet hours on the recipient's wall clock, across gaps and folds."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domains.notifications.model import (
    DAY,
    Message,
    MessageStatus,
    Topic,
    Urgency,
    after_quiet_hours,
    is_quiet,
    sendable_at,
)
from shared.events.messages import Channel
from shared.kernel.ids import ClinicId, CustomerId, MessageId

ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
SECONDS = st.integers(946_684_800, 2_145_916_800)  # 2000 to 2037
INSTANTS = SECONDS.map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@given(INSTANTS, ZONES)
@example(datetime(2011, 12, 30, 9, tzinfo=UTC), ZoneInfo("Pacific/Apia"))  # a whole day is missing
@example(datetime(2026, 3, 28, 22, tzinfo=UTC), BERLIN)  # the night with a gap
@example(datetime(2026, 10, 24, 22, tzinfo=UTC), BERLIN)  # the night with a fold
def test_the_end_is_allowed_and_not_long_after(now: datetime, zone: ZoneInfo) -> None:
    allowed = after_quiet_hours(now, zone)
    assert not is_quiet(allowed, zone)
    assert now <= allowed <= now + timedelta(hours=36)
    if not is_quiet(now, zone):
        assert allowed == now


@given(INSTANTS, ZONES)
def test_deferring_again_changes_nothing(now: datetime, zone: ZoneInfo) -> None:
    allowed = after_quiet_hours(now, zone)
    assert after_quiet_hours(allowed, zone) == allowed


@given(INSTANTS, ZONES)
def test_a_deferred_message_goes_on_at_eight_or_just_after_a_gap(
    now: datetime, zone: ZoneInfo
) -> None:
    allowed = after_quiet_hours(now, zone)
    if allowed != now:
        local = allowed.astimezone(zone)
        eight = local.replace(hour=8, minute=0, second=0, microsecond=0, fold=0)
        skipped = zone.utcoffset(eight) != zone.utcoffset(local.replace(fold=1))
        assert local == eight or skipped or local - eight < timedelta(hours=2)


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        ("2026-03-28T20:59:59", "2026-03-28T20:59:59"),
        ("2026-03-28T21:00", "2026-03-29T08:00"),
        ("2026-03-29T00:30", "2026-03-29T08:00"),
        ("2026-03-29T07:59:59", "2026-03-29T08:00"),
        ("2026-03-29T08:00", "2026-03-29T08:00"),
        ("2026-10-24T23:00", "2026-10-25T08:00"),
        ("2026-12-31T23:00", "2027-01-01T08:00"),
    ],
)
def test_nights_in_berlin(now: str, allowed: str) -> None:
    assert after_quiet_hours(at(now), BERLIN) == at(allowed)


def test_the_night_with_a_gap_is_an_hour_shorter_and_with_a_fold_an_hour_longer() -> None:
    ten = "T22:00"
    gap, fold = at(f"2026-03-28{ten}"), at(f"2026-10-24{ten}")
    assert after_quiet_hours(gap, BERLIN) - gap == timedelta(hours=9)
    assert after_quiet_hours(fold, BERLIN) - fold == timedelta(hours=11)


def test_half_hour_zones_count_by_their_own_wall_clock() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    assert after_quiet_hours(datetime(2026, 1, 1, 15, 30, tzinfo=UTC), kolkata) == datetime(
        2026, 1, 2, 2, 30, tzinfo=UTC
    )


def message(channel: Channel, expires_at: datetime, any_hour: bool = False) -> Message:
    return Message(
        clinic_id=ClinicId.new(),
        id=MessageId.new(),
        customer_id=CustomerId.new(),
        channel=channel,
        topic=Topic.PAYMENTS,
        urgency=Urgency.TRANSACTIONAL,
        template="payment_failed",
        locale="en",
        variables={},
        any_hour=any_hour,
        status=MessageStatus.QUEUED,
        created_at=at("2026-01-01T22:00"),
        updated_at=at("2026-01-01T22:00"),
        due_at=at("2026-01-01T22:00"),
        expires_at=expires_at,
    )


NIGHT, MORNING = at("2026-01-01T22:00"), at("2026-01-02T08:00")


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.PUSH])
def test_what_rings_waits_for_the_morning(channel: Channel) -> None:
    assert sendable_at(message(channel, NIGHT + DAY), BERLIN, NIGHT) == MORNING


def test_mail_disturbs_nobody() -> None:
    assert sendable_at(message(Channel.EMAIL, NIGHT + DAY), BERLIN, NIGHT) == NIGHT


def test_a_rule_may_pass_quiet_hours() -> None:
    urgent = message(Channel.SMS, NIGHT + DAY, any_hour=True)
    assert sendable_at(urgent, BERLIN, NIGHT) == NIGHT


def test_what_would_be_pointless_by_then_is_not_deferred() -> None:
    assert sendable_at(message(Channel.SMS, MORNING), BERLIN, NIGHT) is None
    assert sendable_at(message(Channel.EMAIL, NIGHT), BERLIN, NIGHT) is None


REPORTED = [MessageStatus.ACCEPTED, MessageStatus.DELIVERED, MessageStatus.FAILED]


@given(st.lists(st.sampled_from(REPORTED)))
def test_reports_in_any_order_end_in_the_furthest_state(reports: list[MessageStatus]) -> None:
    current = message(Channel.SMS, NIGHT)
    for status in reports:
        if current.surpassed_by(status):
            current = current.changed(NIGHT, status=status)
    furthest = max(reports, key=REPORTED.index, default=MessageStatus.QUEUED)
    assert current.status is furthest
