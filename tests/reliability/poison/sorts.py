"""The sorts of poison: what each message is, who cannot handle it, and what was wrong."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID, uuid4

from google.pubsub_v1.types import PubsubMessage

from emulators.demo.stage import CLINIC_IDS

CLINIC = CLINIC_IDS[0]
NAME = "Ada Lovelace-Byron"
"""What no reason may tell of anybody."""
Who = frozenset[tuple[str, str]]
"""Functions and, of each, the handler."""

GROWS: Who = frozenset({("invoice_handler", "value_grows")})
PAID: Who = GROWS | {
    ("invoice_handler", "payment_tracks"),
    ("notification_agent", "message_arises"),
    ("support_agent", "payment_ticket_follows"),
}
"""Everybody who handles `invoice.paid`."""
UNTYPED: Who = frozenset(
    {("contract_agent", ""), ("notification_agent", ""), ("status_mirror", "")}
)
"""Those who get the whole topic `contract-events`: others' subscriptions filter by type."""
CHANGES = "support_record_follows"


@dataclass(frozen=True)
class Customer:
    """Somebody a message is about."""

    id: str
    email: str
    clinic: str = CLINIC
    name: str = "Neighbour"


@dataclass
class Sent:
    """A message on its way; `parked_by` are those who cannot handle it, after how many attempts.

    `sort` is empty for a healthy one. `customer` is who a payment of `amount` counts for.
    """

    topic: str
    message: PubsubMessage
    sort: str = ""
    parked_by: Who = frozenset()
    attempts: int = 1
    customer: Customer | None = None
    amount: int = 0
    event_id: str = ""
    body: Callable[[str], bytes] = field(default=lambda _: b"")
    """What Pub/Sub pushed of it to a subscription, once it was published."""

    @property
    def tracked(self) -> bool:
        """Whether its payment is told to the marketing platform at once."""
        paid = self.message.attributes.get("ce-type") == "invoice.paid"
        return paid and ("invoice_handler", "payment_tracks") not in self.parked_by


class Sorts:
    """Makes messages by a seed: healthy ones with `paid`, each sort of poison by its method."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def uuid(self) -> str:
        return str(UUID(int=self._dice.getrandbits(128), version=4))

    def customer(self, **more: str) -> Customer:
        key = self.uuid()
        return Customer(key, **{"email": f"{key}@example.com"} | more)

    def paid(self, invoice: str, customer: Customer) -> Sent:
        """Somebody paid an invoice."""
        amount = self._dice.randint(1, 10_000)
        payload = {
            "clinic_id": customer.clinic,
            "invoice_id": invoice,
            "customer_id": customer.id,
            "version": 1,
            "amount": {"amount": amount, "currency": "EUR"},
        }
        sent = self._sent("invoice.paid", invoice, payload, customer.clinic)
        sent.customer, sent.amount = customer, amount
        return sent

    def _sent(self, kind: str, subject: str, payload: Any, clinic: str | None = CLINIC) -> Sent:
        event_id = self.uuid()
        attributes = {
            "ce-specversion": "1.0",
            "ce-id": event_id,
            "ce-type": kind,
            "ce-source": "/test",
            "ce-subject": subject,
            "ce-time": "2026-01-05T09:00:00+00:00",
            "content-type": "application/json",
            "correlationid": event_id,
        }
        if clinic is not None:
            attributes["clinicid"] = clinic
        noun = kind.partition(".")[0]
        topic = "webhook-events" if noun.endswith("_webhook") else f"{noun}-events"
        data = json.dumps(payload).encode()
        message = PubsubMessage(data=data, attributes=attributes, ordering_key=subject)
        return Sent(topic, message, event_id=event_id)

    # Messages that make no sense

    def no_json(self, invoice: str, customer: Customer) -> Sent:
        return self._altered("no JSON", invoice, customer, data=f"paid, {NAME}".encode())

    def missing_field(self, invoice: str, customer: Customer) -> Sent:
        return self._altered("missing fields", invoice, customer, data=b"{}")

    def wrong_field(self, invoice: str, customer: Customer) -> Sent:
        data = json.dumps({"clinic_id": CLINIC, "invoice_id": invoice, "customer_id": NAME})
        return self._altered("wrong fields", invoice, customer, data=data.encode())

    def wrong_attribute(self, invoice: str, customer: Customer) -> Sent:
        name, value = self._dice.choice(
            [("ce-id", NAME), ("ce-time", NAME), ("clinicid", NAME), ("ce-id", f"\0{NAME}")]
        )
        return self._altered("wrong attributes", invoice, customer, attributes={name: value})

    def oversize(self, invoice: str, customer: Customer) -> Sent:
        """As large as Pub/Sub takes a request, less its other fields."""
        return self._altered("oversize", invoice, customer, data=b"\xff" * 9_900_000)

    def _altered(self, sort: str, invoice: str, customer: Customer, **changed: Any) -> Sent:
        sent = self.paid(invoice, customer)
        sent.message.data = changed.get("data", sent.message.data)
        sent.message.attributes.update(changed.get("attributes", {}))
        sent.sort, sent.parked_by, sent.customer = sort, PAID, None
        return sent

    def no_type(self, contract: str, _: Customer) -> Sent:
        sent = self._sent("contract.created", contract, {})
        del sent.message.attributes["ce-type"]
        sent.sort, sent.parked_by = "no type", UNTYPED
        return sent

    # Messages that cannot be handled until something is mended

    def unknown_clinic(self, invoice: str, _: Customer) -> Sent:
        return self._about("unknown clinic", invoice, self.customer(clinic=str(uuid4())))

    def unknown_subject(self, invoice: str, _: Customer) -> Sent:
        return self._about("unknown subject", invoice, self.customer())

    def always_raises(self, invoice: str, _: Customer) -> Sent:
        sent = self._about("always raises", invoice, self.customer(name=NAME))
        sent.attempts = 5
        return sent

    def _about(self, sort: str, invoice: str, customer: Customer) -> Sent:
        sent = self.paid(invoice, customer)
        sent.sort, sent.parked_by = sort, GROWS
        return sent

    def refused(self, _: str, __: Customer) -> Sent:
        """Support cannot have a customer with such an address."""
        customer = self.customer(email=f"{self.uuid()} at {NAME}")
        return self.changed(
            customer, "refused by a vendor", frozenset({("support_agent", CHANGES)})
        )

    def changed(self, customer: Customer, sort: str, parked_by: Who) -> Sent:
        """A customer whom support knows has another address."""
        payload = {
            "clinic_id": CLINIC,
            "customer_id": customer.id,
            "version": 2,
            "changed": ["email"],
        }
        sent = self._sent("customer.updated", customer.id, payload)
        sent.sort, sent.parked_by, sent.customer = sort, parked_by, customer
        return sent

    def domain_error(self, _: str, __: Customer) -> Sent:
        """A webhook that nobody has."""
        webhook = self.uuid()
        sent = self._sent("chargebee_webhook.received", webhook, {"webhook_id": webhook}, None)
        sent.sort = "rule violated"
        sent.parked_by = frozenset({("billing_agent", "webhook_applies")})
        return sent

    @property
    def all(self) -> tuple[Callable[[str, Customer], Sent], ...]:
        return (
            *(self.no_json, self.missing_field, self.wrong_field, self.wrong_attribute),
            *(self.no_type, self.unknown_clinic, self.unknown_subject, self.always_raises),
            *(self.refused, self.domain_error),
        )


MENDABLE = ("unknown clinic", "unknown subject", "always raises", "refused by a vendor")
