"""Declined invoices are tried again by the ladder, each for itself, until it ends."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from werkzeug.test import TestResponse

from shared.events.billing import InvoiceRetryDue
from shared.kernel.ids import CustomerId, InvoiceId
from tests.conftest import BERLIN, House
from tests.functions.billing_site import Site, site

__all__ = ["site"]

FAILED = "invoice.payment_failed"
RETRY = "invoice.retry"


class Desk:
    """Plays what the local cloud does: events to their handlers, timers when they are due."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.house = site.house

    def begin(self, card: str, customer: CustomerId | None = None) -> str:
        """An invoice whose first attempt went as the card says; our rows know it."""
        invoice = self.site.begin(customer or self.site.customer(card))
        self.site.sync()
        self.tell()
        return str(invoice["id"])

    def tell(self) -> None:
        """Deliver what was emitted, the oldest first, until nothing follows from it."""
        known = -1
        while known != (known := len(self.house.rows("SELECT seq FROM platform.outbox"))):
            for kind in (
                FAILED,
                "payment_method.updated",
                "invoice.retry_due",
                "invoice.dunning_exhausted",
            ):
                for answer in self.house.deliver_emitted("invoice_handler", kind):
                    assert answer.status_code == 204

    def row(self, invoice: str) -> dict[str, Any]:
        return next(row for row in self.site.rows("invoices") if row["vendor_id"] == invoice)

    def timer(self, invoice: str) -> dict[str, Any]:
        return self.house.timer(RETRY, self.row(invoice)["id"])

    def wait(self, invoice: str) -> timedelta:
        """How long until the invoice is tried again; fails when it is not."""
        timer = self.timer(invoice)
        assert timer["state"] == "scheduled"
        due, failed_at = timer["due_at"], self.row(invoice)["failed_at"]
        assert isinstance(due, datetime)
        assert isinstance(failed_at, datetime)
        return due - failed_at

    def due(self, invoice: str) -> None:
        """Let time pass until the invoice's timer fires, and what follows be done."""
        timer = self.timer(invoice)
        if timer["due_at"] > self.site.now:
            self.house.cloud.advance(timer["due_at"])
        assert self.house.fire("invoice_handler", timer).status_code == 204
        self.tell()

    def attempts(self, invoice: str) -> int:
        """How often Chargebee was asked to collect it, the first attempt included."""
        return len(self.site.sdk.Invoice.retrieve(invoice).invoice.raw_data["linked_payments"])

    def method(self, customer: CustomerId, card: str) -> None:
        self.site.card(customer, card)
        self.site.sync()
        self.tell()


@pytest.fixture
def desk(site: Site) -> Desk:
    return Desk(site)


def test_a_soft_decline_is_tried_the_next_day_and_paid(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds*1,ok")
    assert desk.wait(invoice) == timedelta(days=1)
    desk.due(invoice)
    row = desk.row(invoice)
    assert (row["status"], row["attempts"], row["dunning"]) == ("paid", 1, "success")
    assert len(desk.house.emitted("invoice.paid")) == 1


def test_soft_declines_wait_longer_each_time_and_end(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds")
    waits = []
    for _ in range(4):
        waits.append(desk.wait(invoice).days)
        desk.due(invoice)
    assert waits == [1, 3, 5, 7]
    assert [fact["attempt"] for fact in desk.house.emitted(FAILED)] == [1, 2, 3, 4, 5]
    (end,) = desk.house.emitted("invoice.dunning_exhausted")
    assert end["amount"] == {"amount": 3900, "currency": "EUR"}
    row = desk.row(invoice)
    assert (row["status"], row["dunning"]) == ("not_paid", "stopped")
    assert desk.timer(invoice)["state"] != "scheduled"
    assert desk.attempts(invoice) == 5


def test_a_hard_decline_is_tried_once_more_after_a_week_and_ends(desk: Desk) -> None:
    invoice = desk.begin("stolen_card")
    assert desk.wait(invoice) == timedelta(days=7)
    desk.due(invoice)
    assert len(desk.house.emitted("invoice.dunning_exhausted")) == 1
    assert desk.attempts(invoice) == 2


def test_a_hard_decline_is_tried_at_once_with_another_payment_method(desk: Desk) -> None:
    eve = desk.site.customer("expired_card")
    invoice = desk.begin("", eve)
    desk.house.cloud.advance(days=2)
    desk.method(eve, "ok")
    assert desk.timer(invoice)["due_at"] == desk.site.now
    desk.due(invoice)
    assert desk.row(invoice)["status"] == "paid"


def test_another_payment_method_is_tried_a_single_time(desk: Desk) -> None:
    eve = desk.site.customer("expired_card")
    invoice = desk.begin("", eve)
    desk.method(eve, "stolen_card")
    desk.due(invoice)
    assert desk.wait(invoice) == timedelta(days=7)
    desk.method(eve, "lost_card")
    assert desk.wait(invoice) == timedelta(days=7)
    desk.due(invoice)
    assert len(desk.house.emitted("invoice.dunning_exhausted")) == 1


def test_another_payment_method_leaves_a_soft_decline_to_its_ladder(desk: Desk) -> None:
    ben = desk.site.customer("insufficient_funds")
    invoice = desk.begin("", ben)
    desk.method(ben, "ok")
    assert desk.wait(invoice) == timedelta(days=1)


def test_another_s_failure_blocks_no_invoice_of_the_same_customer(desk: Desk) -> None:
    ada = desk.site.customer("stolen_card*1,ok")
    unpaid, paid = desk.begin("", ada), desk.begin("", ada)
    assert desk.row(paid)["status"] == "paid"
    subscriptions = {row["status"] for row in desk.site.rows("subscriptions")}
    assert subscriptions == {"active"}
    assert desk.wait(unpaid) == timedelta(days=7)


@pytest.mark.parametrize("end", ["paid", "voided", "stopped"])
def test_a_settled_invoice_clears_its_timer_and_a_stale_retry_does_nothing(
    desk: Desk, end: str
) -> None:
    invoice = desk.begin("insufficient_funds*1,ok")
    stale = desk.timer(invoice)
    sdk = desk.site.sdk.Invoice
    if end == "paid":
        sdk.record_payment(invoice, {"transaction": {"payment_method": "bank_transfer"}})
    elif end == "voided":
        sdk.void_invoice(invoice, {})
    else:
        sdk.stop_dunning(invoice, {})
    made = desk.attempts(invoice)
    desk.site.sync()
    assert desk.timer(invoice)["state"] == "cancelled"
    desk.house.cloud.advance(days=2)
    desk.house.fire("invoice_handler", stale)
    desk.tell()
    assert desk.house.emitted("invoice.retry_due") == []
    assert desk.attempts(invoice) == made


def test_a_retry_that_is_due_when_the_invoice_was_paid_unheard_does_no_harm(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds*1,ok")
    desk.site.sdk.Invoice.record_payment(
        invoice, {"transaction": {"payment_method": "bank_transfer"}}
    )
    desk.due(invoice)
    assert desk.row(invoice)["status"] == "paid"
    assert desk.attempts(invoice) == 2
    assert desk.house.emitted("invoice.dunning_exhausted") == []


def test_a_retry_of_an_attempt_that_was_made_already_does_nothing(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds")
    row = desk.row(invoice)
    old = retry_due(row["id"], row["customer_id"], attempt=1)
    assert desk.house.deliver("invoice_handler", old).status_code == 204
    assert desk.attempts(invoice) == 1


def test_a_late_word_of_an_earlier_failure_does_not_move_the_timer(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds")
    desk.due(invoice)
    assert desk.wait(invoice) == timedelta(days=3)
    desk.house.rows("DELETE FROM platform.inbox")
    desk.house.deliver_emitted("invoice_handler", FAILED)
    assert desk.wait(invoice) == timedelta(days=3)


def retry_due(invoice: UUID, customer: UUID, attempt: int) -> InvoiceRetryDue:
    return InvoiceRetryDue(
        clinic_id=BERLIN,
        invoice_id=InvoiceId(int=invoice.int),
        customer_id=CustomerId(int=customer.int),
        version=1,
        attempt=attempt,
    )


def fire(desk: Desk, invoice: str) -> None:
    """Let the timer fire, and leave what follows to the test."""
    timer = desk.timer(invoice)
    desk.house.cloud.advance(timer["due_at"])
    desk.house.fire("invoice_handler", timer)


def collect(house: House) -> list[TestResponse]:
    return house.deliver_emitted("invoice_handler", "invoice.retry_due")


def test_an_outage_puts_the_retry_off_and_makes_one_attempt(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds*1,ok")
    fire(desk, invoice)
    desk.house.cloud.fault("chargebee", "down")
    assert [answer.status_code for answer in collect(desk.house)] == [503]
    desk.house.cloud.heal()
    desk.tell()
    assert desk.row(invoice)["status"] == "paid"
    assert desk.attempts(invoice) == 2


def test_an_attempt_whose_answer_was_lost_is_looked_up_and_not_repeated(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds")
    fire(desk, invoice)
    desk.house.cloud.fault("chargebee", "fail-after-success", count=1)
    assert [answer.status_code for answer in collect(desk.house)] == [503]
    assert desk.attempts(invoice) == 2
    desk.house.cloud.heal()
    desk.house.cloud.advance(hours=1)
    desk.tell()
    assert desk.attempts(invoice) == 2
    assert desk.row(invoice)["attempts"] == 2
    assert desk.wait(invoice) == timedelta(days=3)


def test_an_attempt_that_never_left_is_made_after_looking(desk: Desk) -> None:
    invoice = desk.begin("insufficient_funds*1,ok")
    fire(desk, invoice)
    desk.house.rows(
        "INSERT INTO platform.intents (handler, event_id, state) "
        "SELECT 'payment_collects', id, 'unknown' FROM platform.outbox "
        "WHERE type = 'invoice.retry_due'"
    )
    desk.tell()
    assert desk.row(invoice)["status"] == "paid"
    assert desk.attempts(invoice) == 2


# What others hear of it


def register(house: House, uid: str) -> CustomerId:
    body = {"given_name": "Ada", "family_name": "Example", "email": f"{uid}@example.com"}
    answer = house.portal("POST", "/customers", house.id_token(uid), body)
    assert answer.json is not None
    return CustomerId(answer.json["id"])


def tracked(house: House, customer: CustomerId) -> list[tuple[str, dict[str, Any]]]:
    """The events Iterable has of a person, oldest first."""
    url = f"{house.cloud.env['ITERABLE_URL']}/api/events/byUserId/{customer}"
    answer = httpx.get(url, headers={"Api-Key": house.cloud.env["ITERABLE_API_KEY"]})
    events = [(one["eventName"], one["dataFields"]) for one in answer.json()["events"]]
    return list(reversed(events))


def test_a_payment_counts_once_towards_the_customer_s_value_and_is_tracked(desk: Desk) -> None:
    ada = register(desk.house, "payer-of-one-invoice")
    invoice = desk.begin("", desk.site.customer(customer_id=ada))
    for _ in range(2):
        answers = desk.house.deliver_emitted("invoice_handler", "invoice.paid")
        assert [answer.status_code for answer in answers] == [204]
    (value,) = desk.house.rows("SELECT amount, currency FROM customers.lifetime_values")
    assert value == {"amount": 3900, "currency": "EUR"}
    data = {"invoice_id": str(desk.row(invoice)["id"]), "amount": 3900, "currency": "EUR"}
    assert tracked(desk.house, ada) == [("payment_succeeded", data)]


def test_a_payment_counts_although_the_marketing_platform_is_away(desk: Desk) -> None:
    ada = register(desk.house, "ada")
    desk.begin("", desk.site.customer(customer_id=ada))
    desk.house.cloud.fault("iterable", "down")
    answers = desk.house.deliver_emitted("invoice_handler", "invoice.paid")
    assert [answer.status_code for answer in answers] == [503]
    assert len(desk.house.rows("SELECT amount FROM customers.lifetime_values")) == 1


def test_the_recovery_workflow_starts_with_the_first_decline_alone(desk: Desk) -> None:
    ben = desk.site.customer("insufficient_funds")
    invoice = desk.begin("", ben)
    desk.due(invoice)
    assert [name for name, _ in tracked(desk.house, ben)] == ["payment_recovery_started"]
