"""The retry ladder: soft declines pass by themselves, hard ones need the customer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domains.billing.model import (
    PATIENCE,
    SAFETY,
    Dunning,
    Invoice,
    after_decline,
    after_new_method,
    after_no_attempt,
    decline_of,
)
from shared.events.billing import Decline, InvoiceStatus
from shared.kernel.ids import CustomerId, InvoiceId
from shared.kernel.money import Money

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
SOFT, HARD = Decline.SOFT, Decline.HARD
declines = st.sampled_from(Decline)


def unpaid(**changes: object) -> Invoice:
    invoice = Invoice(
        id=InvoiceId.new(),
        vendor_id="1",
        customer_id=CustomerId.new(),
        status=InvoiceStatus.PAYMENT_DUE,
        dunning=Dunning.IN_PROGRESS,
        deleted=False,
        due=Money(amount=3900, currency="EUR"),
        attempts=0,
        decline=None,
        failed_at=None,
        safety_retry=False,
        method_retry=False,
        exhausted_at=None,
        version=1,
    )
    return replace(invoice, **changes)  # type: ignore[arg-type]


def declined(invoice: Invoice, decline: Decline, at: datetime) -> Invoice:
    return replace(invoice, attempts=invoice.attempts + 1, decline=decline, failed_at=at)


def play(reasons: list[Decline]) -> tuple[list[timedelta], Invoice]:
    """The waits between attempts, when one after another is declined for these reasons."""
    invoice, at, waits = unpaid(), NOW, []
    for reason in reasons:
        plan = after_decline(declined(invoice, reason, at), at)
        invoice = plan.invoice
        if plan.retry_at is None:
            break
        waits.append(plan.retry_at - at)
        at = plan.retry_at
    return waits, invoice


def test_soft_declines_are_tried_after_1_3_5_and_7_days_and_no_more() -> None:
    waits, invoice = play([SOFT] * 9)
    assert [wait.days for wait in waits] == [1, 3, 5, 7]
    assert invoice.exhausted_at == NOW + timedelta(days=16)
    assert not invoice.collectible


def test_a_hard_decline_is_tried_once_more_after_a_week() -> None:
    waits, invoice = play([HARD] * 9)
    assert [wait.days for wait in waits] == [7]
    assert invoice.exhausted_at == NOW + SAFETY


def test_a_new_payment_method_is_tried_at_once_and_a_single_time() -> None:
    invoice = after_decline(declined(unpaid(), HARD, NOW), NOW).invoice
    plan = after_new_method(invoice, NOW)
    assert plan is not None
    assert plan.retry_at == NOW
    again = after_decline(declined(plan.invoice, HARD, NOW), NOW)
    assert again.retry_at == NOW + SAFETY
    assert after_new_method(again.invoice, NOW) is None
    last = after_decline(declined(again.invoice, HARD, NOW + SAFETY), NOW + SAFETY)
    assert last.retry_at is None


def test_a_new_payment_method_leaves_soft_declines_to_their_ladder() -> None:
    assert after_new_method(declined(unpaid(), SOFT, NOW), NOW) is None


def test_a_new_payment_method_does_not_wake_what_has_ended() -> None:
    for over in (
        {"exhausted_at": NOW},
        {"status": InvoiceStatus.PAID},
        {"dunning": Dunning.STOPPED},
        {"deleted": True},
    ):
        assert after_new_method(unpaid(decline=HARD, attempts=1, **over), NOW) is None


def test_a_retry_without_an_attempt_is_repeated_daily_but_not_for_ever() -> None:
    invoice = declined(unpaid(), SOFT, NOW)
    assert after_no_attempt(invoice, NOW).retry_at == NOW + timedelta(days=1)
    late = NOW + PATIENCE + timedelta(days=1)
    assert after_no_attempt(invoice, late).retry_at is None


@given(st.lists(declines, min_size=10, max_size=10))
def test_every_ladder_ends_within_six_attempts_and_waits_at_least_a_day(
    reasons: list[Decline],
) -> None:
    waits, invoice = play(reasons)
    assert invoice.exhausted_at is not None
    assert len(waits) <= 5
    assert all(timedelta(days=1) <= wait <= SAFETY for wait in waits)


@given(st.integers(1, 20), declines, st.booleans())
def test_planning_never_lies_before_the_attempt_and_forgets_nothing(
    attempts: int, decline: Decline, safety: bool
) -> None:
    invoice = unpaid(attempts=attempts, decline=decline, failed_at=NOW, safety_retry=safety)
    plan = after_decline(invoice, NOW)
    assert plan.retry_at is None or plan.retry_at > NOW
    assert plan.invoice.attempts == attempts
    assert (plan.retry_at is None) == (plan.invoice.exhausted_at is not None)


def test_unknown_reasons_are_soft_and_stolen_cards_are_hard() -> None:
    assert decline_of("something_new") is SOFT
    assert decline_of(None) is SOFT
    assert decline_of("insufficient_funds") is SOFT
    assert decline_of("stolen_card") is HARD
