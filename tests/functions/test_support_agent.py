"""support_agent: customers that support knows, and one ticket per invoice not collected."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from shared.events.billing import (
    Decline,
    InvoiceDunningExhausted,
    InvoiceFact,
    InvoicePaid,
    InvoicePaymentFailed,
    InvoiceStatus,
)
from shared.events.contracts import ContractCreated
from shared.events.customers import CustomerField, CustomerUpdated
from shared.integrations import vendor_call
from shared.integrations.zendesk import Zendesk
from shared.kernel import clock
from shared.kernel.ids import ContractId, CustomerId, EventId, InvoiceId
from shared.kernel.money import Money
from tests.conftest import BERLIN, House

AMOUNT = Money(amount=481_516, currency="EUR")


@dataclass
class Case:
    """A customer of the Berlin clinic with an invoice, and what Zendesk knows of both."""

    house: House
    customer: CustomerId = field(default_factory=CustomerId.new)
    invoice: InvoiceId = field(default_factory=InvoiceId.new)

    def add(self) -> None:
        now = clock.now()
        self.house.rows(
            "INSERT INTO customers.customers (clinic_id, id, uid, given_name, family_name, email,"
            " locale, time_zone, version, created_at, updated_at) VALUES (:clinic, :id, :uid,"
            " 'Ada', 'Example', :email, 'de', 'Europe/Berlin', 1, :now, :now)",
            clinic=BERLIN,
            id=self.customer,
            uid=str(self.customer),
            email=self.email(),
            now=now,
        )
        self.house.rows(
            "INSERT INTO billing.invoices (clinic_id, id, vendor_id, customer_id, status, total,"
            " amount_paid, amount_due, currency, invoiced_at, paid_told, attempts, safety_retry,"
            " method_retry, deleted, resource_version, version, created_at, updated_at) VALUES"
            " (:clinic, :id, :vendor, :customer, 'payment_due', 1, 0, 1, 'EUR', :now, false, 0,"
            " false, false, false, 1, 1, :now, :now)",
            clinic=BERLIN,
            id=self.invoice,
            vendor=str(self.invoice),
            customer=self.customer,
            now=now,
        )

    def email(self, word: str = "ada") -> str:
        return f"{word}-{self.customer}@example.com"

    def rename(self, given_name: str) -> None:
        self.house.rows(
            "UPDATE customers.customers SET given_name = :name, version = version + 1 "
            "WHERE id = :id",
            name=given_name,
            id=self.customer,
        )

    def settle(self, status: InvoiceStatus = InvoiceStatus.PAID) -> None:
        self.house.rows(
            "UPDATE billing.invoices SET status = :status WHERE id = :id",
            status=status.value,
            id=self.invoice,
        )

    def says(self, event: Any, event_id: EventId | None = None) -> int:
        return self.house.deliver("support_agent", event, event_id=event_id).status_code

    def contract(self) -> ContractCreated:
        today = clock.now().date()
        return ContractCreated(
            clinic_id=BERLIN,
            contract_id=ContractId.new(),
            customer_id=self.customer,
            version=2,
            starts_on=today,
            ends_on=today + timedelta(days=180),
            renewal_at=clock.now() + timedelta(days=179),
        )

    def updated(self, *changed: CustomerField) -> CustomerUpdated:
        return CustomerUpdated(
            clinic_id=BERLIN, customer_id=self.customer, version=2, changed=changed
        )

    def _fact(self, kind: type[InvoiceFact], **own: Any) -> InvoiceFact:
        ids = {"clinic_id": BERLIN, "invoice_id": self.invoice, "customer_id": self.customer}
        return kind.model_validate({**ids, "version": 2, "amount": AMOUNT, **own})

    def failed(self, attempt: int = 1) -> InvoiceFact:
        return self._fact(InvoicePaymentFailed, attempt=attempt, decline=Decline.SOFT)

    def exhausted(self) -> InvoiceFact:
        return self._fact(InvoiceDunningExhausted)

    def paid(self) -> InvoiceFact:
        return self._fact(InvoicePaid)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """What Zendesk took in this test, oldest first."""
        return [one for one in reversed(self.house.cloud.inbox("zendesk")) if one["kind"] == kind]

    def users(self) -> list[dict[str, Any]]:
        own = str(self.customer)
        return [one["body"] for one in self.sent("user") if one["body"]["external_id"] == own]

    def tickets(self) -> list[dict[str, Any]]:
        described = self.house.cloud.describe("zendesk")["tickets"]
        return [ticket for ticket in described if str(self.invoice) in ticket["subject"]]

    def notes(self) -> list[str]:
        numbers = {ticket["id"] for ticket in self.tickets()}
        updates = [one["body"] for one in self.sent("update")]
        return [
            event["body"]
            for update in updates
            if update["id"] in numbers
            for event in update["events"]
            if event["type"] == "Comment"
        ]

    def row(self) -> dict[str, Any]:
        query = "SELECT * FROM support.tickets WHERE invoice_id = :id"
        return self.house.rows(query, id=self.invoice)[0]

    def forget_lease(self) -> None:
        """Let the time pass after which a vendor call counts as abandoned."""
        self.house.move(clock.now() + timedelta(minutes=2))


@pytest.fixture
def case(house: House) -> Case:
    vendor_call._ways.clear()
    case = Case(house)
    case.add()
    return case


def lose_answer_to_opening(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Zendesk open the next ticket and the connection break before it answers."""
    opens = Zendesk.open_ticket

    def open_then_break(desk: Zendesk, *arguments: Any) -> int:
        monkeypatch.setattr(Zendesk, "open_ticket", opens)
        case.house.cloud.fault("zendesk", "fail-after-success", count=1)
        return opens(desk, *arguments)

    monkeypatch.setattr(Zendesk, "open_ticket", open_then_break)


def test_the_first_contract_makes_the_customer_known(case: Case) -> None:
    assert case.says(case.contract()) == 204
    assert case.users() == [
        {"external_id": str(case.customer), "name": "Ada Example", "email": case.email()}
    ]


def test_a_redelivery_tells_nothing_again(case: Case) -> None:
    event, event_id = case.contract(), EventId.new()
    case.says(event, event_id)
    case.says(event, event_id)
    assert len(case.users()) == 1


def test_a_known_customer_is_kept_current(case: Case) -> None:
    case.says(case.contract())
    case.rename("Grace")
    case.says(case.updated(CustomerField.NAME))
    assert [user["name"] for user in case.users()] == ["Ada Example", "Grace Example"]


def test_a_customer_without_a_contract_stays_unknown(case: Case) -> None:
    assert case.says(case.updated(CustomerField.NAME)) == 204
    assert case.users() == []


def test_what_support_does_not_hold_is_not_told(case: Case) -> None:
    case.says(case.contract())
    case.says(case.updated(CustomerField.PHONE, CustomerField.LOCALE, CustomerField.TIME_ZONE))
    assert len(case.users()) == 1


def test_a_customer_nobody_has_is_parked(case: Case) -> None:
    stranger = Case(case.house)
    assert stranger.says(stranger.contract()) == 204
    parked = case.house.rows("SELECT handler FROM platform.dead_letters")
    assert parked == [{"handler": "support_record_follows"}]


def test_a_failed_payment_opens_a_ticket(case: Case) -> None:
    assert case.says(case.failed()) == 204
    (ticket,) = case.tickets()
    assert (ticket["status"], ticket["priority"]) == ("new", "high")
    assert ticket["description"].startswith("Collection attempt 1 was declined (soft).")
    assert (case.row()["status"], case.row()["vendor_id"]) == ("open", ticket["id"])
    assert [e["ticket_id"] for e in case.house.emitted("ticket.opened")] == [str(case.row()["id"])]


def test_a_ticket_has_no_phi_and_no_amount(case: Case) -> None:
    case.says(case.failed())
    (ticket,) = case.tickets()
    text = ticket["subject"] + ticket["description"] + " ".join(ticket["tags"])
    assert not [word for word in ("Ada", "Example", "example.com", "4815") if word in text]


def test_later_attempts_are_noted_on_the_same_ticket(case: Case) -> None:
    for attempt in (1, 2, 3):
        case.says(case.failed(attempt))
    assert len(case.tickets()) == 1
    assert case.notes() == [f"Collection attempt {n} was declined (soft)." for n in (2, 3)]
    assert len(case.house.emitted("ticket.opened")) == 1


def test_attempts_out_of_order_are_all_told_once(case: Case) -> None:
    for attempt in (3, 1, 2):
        case.says(case.failed(attempt))
    assert case.tickets()[0]["description"].startswith("Collection attempt 3")
    assert case.notes() == [f"Collection attempt {n} was declined (soft)." for n in (1, 2)]


def test_a_payment_solves_the_ticket(case: Case) -> None:
    case.says(case.failed())
    case.settle()
    case.says(case.paid())
    assert [ticket["status"] for ticket in case.tickets()] == ["solved"]
    assert case.notes() == ["The invoice is settled."]
    assert case.row()["status"] == "solved"


def test_a_payment_without_a_ticket_opens_none(case: Case) -> None:
    case.settle()
    assert case.says(case.paid()) == 204
    assert case.tickets() == []
    assert case.house.rows("SELECT * FROM support.tickets") == []


@pytest.mark.parametrize("status", [InvoiceStatus.PAID, InvoiceStatus.VOIDED])
def test_a_failure_told_after_the_invoice_was_settled_opens_nothing(
    case: Case, status: InvoiceStatus
) -> None:
    case.settle(status)
    case.says(case.failed())
    case.says(case.exhausted())
    assert case.tickets() == []


def test_the_end_of_the_ladder_is_urgent(case: Case) -> None:
    case.says(case.failed())
    case.says(case.exhausted())
    assert [ticket["priority"] for ticket in case.tickets()] == ["urgent"]
    assert case.notes() == ["Every collection attempt was declined."]


def test_a_late_attempt_lowers_no_priority(case: Case) -> None:
    case.says(case.exhausted())
    case.says(case.failed(4))
    assert [ticket["priority"] for ticket in case.tickets()] == ["urgent"]


def test_every_invoice_has_a_ticket_of_its_own(case: Case) -> None:
    other = Case(case.house)
    other.add()
    case.says(case.failed())
    other.says(other.failed())
    assert (len(case.tickets()), len(other.tickets())) == (1, 1)


def test_a_lost_answer_is_looked_up(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    event, event_id = case.failed(), EventId.new()
    lose_answer_to_opening(case, monkeypatch)
    assert case.says(event, event_id) == 503
    assert case.says(event, event_id) == 204
    assert (len(case.tickets()), case.notes()) == (1, [])
    assert len(case.house.emitted("ticket.opened")) == 1


def test_a_lost_answer_is_looked_up_by_the_next_attempt_too(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, event_id = case.failed(1), EventId.new()
    lose_answer_to_opening(case, monkeypatch)
    assert case.says(first, event_id) == 503
    case.house.move(clock.now() + timedelta(hours=3))
    assert case.says(case.failed(2)) == 204
    assert case.says(first, event_id) == 204
    assert len(case.tickets()) == 1
    assert case.notes() == ["Collection attempt 2 was declined (soft)."]


def test_a_lost_answer_to_a_note_is_looked_up(case: Case) -> None:
    case.says(case.failed())
    event, event_id = case.failed(2), EventId.new()
    path = f"/tickets/{case.row()['vendor_id']}.json"
    case.house.cloud.fault("zendesk", "fail-after-success", count=1, path=path)
    assert case.says(event, event_id) == 503
    assert case.says(event, event_id) == 204
    assert case.notes() == ["Collection attempt 2 was declined (soft)."]


def test_a_crowded_zendesk_is_asked_again(case: Case) -> None:
    event, event_id = case.failed(), EventId.new()
    case.house.cloud.fault("zendesk", "429", count=1)
    assert case.says(event, event_id) == 503
    case.house.move(clock.now() + timedelta(seconds=1))
    assert case.says(event, event_id) == 204
    assert len(case.tickets()) == 1


def test_a_payment_that_overtakes_the_opening_still_solves(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invoice is paid, and its event handled, while the ticket is being opened."""
    opens = Zendesk.open_ticket

    def open_late(desk: Zendesk, *arguments: Any) -> int:
        case.settle()
        assert case.says(case.paid()) == 204
        return opens(desk, *arguments)

    monkeypatch.setattr(Zendesk, "open_ticket", open_late)
    event, event_id = case.failed(), EventId.new()
    assert case.says(event, event_id) == 503
    case.forget_lease()
    assert case.says(event, event_id) == 204
    assert [ticket["status"] for ticket in case.tickets()] == ["solved"]
    assert len(case.house.emitted("ticket.opened")) == 1


def test_a_change_that_overtakes_the_record_is_told_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name changes while the old one is on its way."""
    keeps = Zendesk.keep_customer

    def keep_late(desk: Zendesk, *arguments: Any) -> int:
        number = keeps(desk, *arguments)
        if len(case.users()) == 1:
            case.rename("Grace")
            assert case.says(case.updated(CustomerField.NAME)) == 204
        return number

    monkeypatch.setattr(Zendesk, "keep_customer", keep_late)
    event, event_id = case.contract(), EventId.new()
    assert case.says(event, event_id) == 503
    case.forget_lease()
    assert case.says(event, event_id) == 204
    assert case.users()[-1]["name"] == "Grace Example"
