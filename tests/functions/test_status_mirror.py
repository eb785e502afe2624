"""status_mirror: what live screens see follows what Postgres holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.events.billing import (
    InvoiceChanged,
    InvoiceStatus,
    SubscriptionChanged,
    SubscriptionStatus,
)
from shared.events.contracts import (
    ContractActivated,
    ContractFact,
    ContractPaused,
    ContractResumed,
    ContractStatus,
)
from shared.events.messages import Channel, MessageDelivered
from shared.kernel import clock
from shared.kernel.ids import (
    ClinicId,
    ContractId,
    CustomerId,
    EventId,
    InvoiceId,
    MessageId,
    SubscriptionId,
    TypedId,
)
from tests.conftest import BERLIN, KOLKATA, House
from tests.emulators.firestore_client import Client, client_at


@dataclass
class Screen:
    """The rows that are mirrored, and the documents a live screen reads."""

    house: House
    firestore: Client
    customer: CustomerId = field(default_factory=CustomerId.new)

    def row(
        self,
        contract: ContractId,
        status: ContractStatus,
        version: int,
        clinic_id: ClinicId = BERLIN,
        at: datetime | None = None,
    ) -> None:
        """The contract as it stands now."""
        self.house.rows(
            "INSERT INTO contracts.plans (clinic_id, code, treatment, item_price_id,"
            " monthly_item_price_id, term_months, upfront, active)"
            " VALUES (:clinic, 'p', 't', 'i', 'i', 6, false, true) ON CONFLICT DO NOTHING",
            clinic=clinic_id,
        )
        self.house.rows(
            "INSERT INTO contracts.contracts (clinic_id, id, customer_id, plan, treatment,"
            " subscription_id, status, starts_on, ends_on, term_day, linked, cancels_at_term,"
            " version, created_at, updated_at) VALUES (:clinic, :id, :customer, 'p', :word, :word,"
            " :status, :day, :day, 1, false, false, :version, :now, :now)"
            " ON CONFLICT (clinic_id, id) DO UPDATE SET status = :status,"
            " version = :version, updated_at = :now",
            clinic=clinic_id,
            id=contract,
            word=str(contract),
            customer=self.customer,
            status=status.value,
            day=clock.now().date(),
            version=version,
            now=at or clock.now(),
        )

    def says(self, kind: type[ContractFact], contract: ContractId, version: int, **own: Any) -> int:
        ids = {"clinic_id": BERLIN, "contract_id": contract, "customer_id": self.customer}
        event = kind.model_validate({**ids, "version": version, **own})
        return self.house.deliver("status_mirror", event).status_code

    def shown(self, collection: str, subject: TypedId) -> dict[str, Any] | None:
        found: dict[str, Any] | None = (
            self.firestore.collection(collection).document(str(subject)).get().to_dict()
        )
        return found

    def status(self, contract: ContractId) -> tuple[str, int] | None:
        found = self.shown("contracts", contract)
        return (found["status"], found["version"]) if found else None

    def put(self, contract: ContractId, values: dict[str, Any]) -> None:
        self.firestore.collection("contracts").document(str(contract)).set(values)

    def rebuild(self) -> None:
        assert self.house.cron("status_mirror", "mirror_rebuild").status_code == 204


@pytest.fixture
def screen(house: House) -> Iterator[Screen]:
    port = int(house.cloud.env["FIRESTORE_EMULATOR_HOST"].rpartition(":")[2])
    with client_at(port, house.cloud.env["GOOGLE_CLOUD_PROJECT"]) as client:
        yield Screen(house, client)


def test_a_document_holds_status_version_time_and_ids(screen: Screen) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 3)
    assert screen.says(ContractActivated, contract, 3) == 204
    assert screen.shown("contracts", contract) == {
        "status": "active",
        "version": 3,
        "updated_at": clock.now(),
        "clinic_id": str(BERLIN),
        "customer_id": str(screen.customer),
    }


def test_an_old_event_shows_what_is_true_now(screen: Screen) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.PAUSED, 5)
    screen.says(ContractActivated, contract, 3)
    assert screen.status(contract) == ("paused", 5)


def test_events_in_any_order_end_alike(screen: Screen) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 4)
    today = clock.now().date()
    screen.says(ContractResumed, contract, 4, resumed_on=today, ends_on=today)
    screen.says(ContractPaused, contract, 3)
    screen.says(ContractActivated, contract, 2)
    assert screen.status(contract) == ("active", 4)


def test_an_older_row_never_replaces_a_newer_document(screen: Screen) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 4)
    screen.put(contract, {"status": "paused", "version": 5, "updated_at": clock.now()})
    assert screen.says(ContractActivated, contract, 4) == 204
    assert screen.status(contract) == ("paused", 5)


def test_a_document_without_a_version_is_replaced(screen: Screen) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 1)
    screen.put(contract, {"status": "paused", "left_over": "x"})
    assert screen.says(ContractActivated, contract, 1) == 204
    shown = screen.shown("contracts", contract)
    assert shown is not None
    assert (shown["status"], shown["version"]) == ("active", 1)
    assert "left_over" not in shown


def test_an_event_about_a_row_nobody_has_shows_nothing(screen: Screen) -> None:
    contract = ContractId.new()
    assert screen.says(ContractActivated, contract, 1) == 204
    assert screen.status(contract) is None


def test_a_row_of_another_clinic_is_not_mirrored_by_this_one(screen: Screen) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 1, KOLKATA)
    assert screen.says(ContractActivated, contract, 1) == 204
    assert screen.status(contract) is None


def test_an_outage_of_firestore_is_waited_for(screen: Screen) -> None:
    contract, event_id = ContractId.new(), EventId.new()
    screen.row(contract, ContractStatus.ACTIVE, 1)
    event = ContractActivated(
        clinic_id=BERLIN, contract_id=contract, customer_id=screen.customer, version=1
    )
    screen.house.cloud.fault("firestore", "error")
    for attempt in (1, 20):
        answer = screen.house.deliver("status_mirror", event, BERLIN, event_id, attempt)
        assert answer.status_code == 503
    screen.house.cloud.heal()
    assert screen.house.deliver("status_mirror", event, BERLIN, event_id).status_code == 204
    assert screen.status(contract) == ("active", 1)
    assert screen.house.rows("SELECT * FROM platform.dead_letters") == []


def test_a_lost_answer_of_firestore_does_no_harm(screen: Screen) -> None:
    contract, event_id = ContractId.new(), EventId.new()
    screen.row(contract, ContractStatus.ACTIVE, 1)
    event = ContractActivated(
        clinic_id=BERLIN, contract_id=contract, customer_id=screen.customer, version=1
    )
    screen.house.cloud.fault("firestore", "fail-after-success", count=1, path="Commit")
    assert screen.house.deliver("status_mirror", event, BERLIN, event_id).status_code == 503
    assert screen.house.deliver("status_mirror", event, BERLIN, event_id).status_code == 204
    assert screen.status(contract) == ("active", 1)


def test_subscriptions_and_their_references_are_mirrored(screen: Screen) -> None:
    subscription, contract = SubscriptionId.new(), ContractId.new()
    screen.house.rows(
        "INSERT INTO billing.subscriptions (clinic_id, id, vendor_id, customer_id, contract_id,"
        " status, deleted, resource_version, version, created_at, updated_at) VALUES"
        " (:clinic, :id, 'sub-1', :customer, :contract, 'non_renewing', false, 1, 2, :now, :now)",
        clinic=BERLIN,
        id=subscription,
        customer=screen.customer,
        contract=contract,
        now=clock.now(),
    )
    event = SubscriptionChanged(
        contract_id=None,
        clinic_id=BERLIN,
        subscription_id=subscription,
        customer_id=screen.customer,
        status=SubscriptionStatus.ACTIVE,
        version=1,
    )
    screen.house.deliver("status_mirror", event)
    shown = screen.shown("subscriptions", subscription)
    assert shown is not None
    assert (shown["status"], shown["version"]) == ("non_renewing", 2)
    assert shown["contract_id"] == str(contract)


def test_invoices_are_mirrored_without_their_amounts(screen: Screen) -> None:
    invoice = InvoiceId.new()
    screen.house.rows(
        "INSERT INTO billing.invoices (clinic_id, id, vendor_id, customer_id, status, total,"
        " amount_paid, amount_due, currency, invoiced_at, paid_told, attempts, safety_retry,"
        " method_retry, deleted, resource_version, version, created_at, updated_at) VALUES"
        " (:clinic, :id, 'inv-1', :customer, 'payment_due', 481516, 0, 481516, 'EUR', :now,"
        " false, 0, false, false, false, 1, 1, :now, :now)",
        clinic=BERLIN,
        id=invoice,
        customer=screen.customer,
        now=clock.now(),
    )
    event = InvoiceChanged(
        clinic_id=BERLIN,
        invoice_id=invoice,
        customer_id=screen.customer,
        status=InvoiceStatus.PAYMENT_DUE,
        version=1,
    )
    screen.house.deliver("status_mirror", event)
    shown = screen.shown("invoices", invoice)
    assert shown is not None
    assert shown.keys() == {"status", "version", "updated_at", "clinic_id", "customer_id"}


def test_messages_are_mirrored_without_their_words(screen: Screen) -> None:
    message = MessageId.new()
    screen.house.rows(
        "INSERT INTO notifications.messages (clinic_id, id, customer_id, channel, topic, urgency,"
        " template, locale, variables, any_hour, status, created_at, updated_at, due_at,"
        " expires_at, attempts, version) VALUES (:clinic, :id, :customer, 'sms', 't', 'u', 'w',"
        " 'de', '{}', false, 'delivered', :now, :now, :now, :now, 1, 4)",
        clinic=BERLIN,
        id=message,
        customer=screen.customer,
        now=clock.now(),
    )
    event = MessageDelivered(
        clinic_id=BERLIN,
        message_id=message,
        customer_id=screen.customer,
        channel=Channel.SMS,
        version=4,
    )
    screen.house.deliver("status_mirror", event)
    shown = screen.shown("messages", message)
    assert shown is not None
    assert shown["status"] == "delivered"
    assert shown.keys() == {"status", "version", "updated_at", "clinic_id", "customer_id"}


def test_a_rebuild_makes_missing_documents_of_every_clinic(screen: Screen) -> None:
    here, there = ContractId.new(), ContractId.new()
    screen.row(here, ContractStatus.ACTIVE, 2)
    screen.row(there, ContractStatus.PAUSED, 3, KOLKATA)
    screen.rebuild()
    assert (screen.status(here), screen.status(there)) == (("active", 2), ("paused", 3))


@pytest.mark.parametrize("version", [1, 2, 9])
def test_a_rebuild_puts_a_wrong_document_right_whatever_its_version(
    screen: Screen, version: int
) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 2)
    screen.put(contract, {"status": "paused", "version": version, "left_over": "x"})
    screen.rebuild()
    shown = screen.shown("contracts", contract)
    assert shown is not None
    assert (shown["status"], shown["version"]) == ("active", 2)
    assert "left_over" not in shown


def test_a_rebuild_makes_what_events_made(screen: Screen) -> None:
    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 2, at=clock.now() - timedelta(days=1))
    screen.says(ContractActivated, contract, 2)
    reference = screen.firestore.collection("contracts").document(str(contract))
    before = reference.get()
    screen.rebuild()
    assert reference.get().update_time == before.update_time


def test_the_weekly_check_looks_at_what_changed_lately(screen: Screen) -> None:
    old, new = ContractId.new(), ContractId.new()
    screen.row(old, ContractStatus.ACTIVE, 1, at=clock.now() - timedelta(days=9))
    screen.row(new, ContractStatus.ACTIVE, 1, at=clock.now() - timedelta(days=7))
    assert screen.house.cron("status_mirror", "mirror_checks").status_code == 204
    assert (screen.status(old), screen.status(new)) == (None, ("active", 1))


def test_a_rebuild_goes_through_all_pages(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.mirrors.PAGE", 2)
    contracts = [ContractId.new() for _ in range(5)]
    for contract in contracts:
        screen.row(contract, ContractStatus.ACTIVE, 1)
    screen.rebuild()
    assert [screen.status(contract) for contract in contracts] == [("active", 1)] * 5


def test_a_rebuild_leaves_alone_what_is_mirrored_meanwhile(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row changes, and its event is mirrored, after the rebuild read both."""
    from shared.platform.mirrored import Mirrored

    contract = ContractId.new()
    screen.row(contract, ContractStatus.ACTIVE, 1)
    screen.put(contract, {"status": "future", "version": 0})
    reads = Mirrored.documents

    def read_then_change(part: Mirrored, *arguments: Any) -> Any:
        documents = reads(part, *arguments)
        monkeypatch.setattr(Mirrored, "documents", reads)
        screen.row(contract, ContractStatus.PAUSED, 2)
        assert screen.says(ContractPaused, contract, 2) == 204
        return documents

    monkeypatch.setattr(Mirrored, "documents", read_then_change)
    screen.rebuild()
    assert screen.status(contract) == ("paused", 2)
