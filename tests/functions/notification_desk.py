"""A desk for tests of notifications: the agent in the house, its webhooks listening, customers."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any

from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse

from shared.events.billing import Decline, InvoicePaymentFailed
from shared.events.contracts import ContractCreated
from shared.events.messages import MessageQueued
from shared.integrations import vendor_call
from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, ContractId, CustomerId, InvoiceId
from shared.kernel.money import Money
from shared.platform import settings
from shared.runtime.agent import Agent
from tests.conftest import BERLIN, House

AGENT = "notification_agent"
EMAIL, PHONE = "ada.canary@example.test", "+491511234567"


class Silent(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Test output stays readable."""


@dataclass
class Desk:
    """The agent in the house, its webhooks listening, and customers to write to."""

    house: House
    _numbers: list[int] = field(default_factory=list)

    def customer(
        self,
        email: str = EMAIL,
        phone: str | None = PHONE,
        hour: int = 12,
        locale: str = "de-AT",
        clinic_id: ClinicId = BERLIN,
    ) -> CustomerId:
        """Somebody for whom it is `hour` o'clock."""
        customer = CustomerId.new()
        self.house.rows(
            "INSERT INTO customers.customers VALUES (:clinic, :id, :uid, 'Ada', 'Canary', "
            ":email, :phone, :locale, :zone, 1, now(), now())",
            clinic=clinic_id,
            id=customer,
            uid=str(customer),
            email=email,
            phone=phone,
            locale=locale,
            zone=self.zone_at(hour),
        )
        return customer

    def zone_at(self, hour: int) -> str:
        """A zone in which it is `hour` o'clock now. The sign of its name is the other way round."""
        offset = (hour - self.house.cloud.now.hour + 11) % 24 - 11
        return f"Etc/GMT{-offset:+d}"

    def deliver(self, event: Event, **how: Any) -> TestResponse:
        return self.house.deliver(AGENT, event, **how)

    def send_queued(self) -> list[int]:
        """Push every MessageQueued so far; the answers' status codes."""
        return [r.status_code for r in self.house.deliver_emitted(AGENT, MessageQueued.type)]

    def advance(self, seconds: float) -> None:
        """Let virtual time pass at the providers, and hand their webhooks to the agent."""
        self.house.cloud.advance(seconds=seconds)
        for kind in ("twilio_webhook.received", "sendgrid_webhook.received"):
            assert {r.status_code for r in self.house.deliver_emitted(AGENT, kind)} <= {204}

    def messages(self) -> dict[str, dict[str, Any]]:
        found = self.house.rows("SELECT * FROM notifications.messages ORDER BY created_at, id")
        return {row["channel"]: row for row in found}

    def sent(self, vendor: str, to: str) -> list[dict[str, Any]]:
        return [entry for entry in self.house.cloud.inbox(vendor) if entry["to"] == to]

    def text_in(self, sender: str, body: str) -> None:
        """Somebody writes an SMS to our number, and the agent hears of it."""
        self.write_in(sender, body)
        self.advance(seconds=1)

    def write_in(self, sender: str, body: str) -> None:
        url = f"{self.house.cloud.env['TWILIO_URL']}/_local/incoming"
        data = json.dumps({"from": sender, "body": body}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            assert answer.status == 201

    def number(self, ending: str = "") -> str:
        """A phone number nobody else has, with a magic ending of the fake."""
        self._numbers.append(len(self._numbers) + 1)
        salt = int(self.house.cloud.now.timestamp()) % 10_000
        return f"+4915{salt:04}{len(self._numbers):02}{ending}"


@contextmanager
def listening(house: House) -> Iterator[str]:
    """The webhooks function on a real port; its address."""
    app = house.client("webhooks").application
    front = DispatcherMiddleware(lambda *_: [], {"/webhooks": app})
    server = make_server("127.0.0.1", 0, front, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks"
    server.shutdown()
    server.server_close()


def fresh(agent: Agent) -> None:
    """Forget settings, clients and breakers that an earlier test left behind."""
    settings.load.cache_clear()
    vendor_call._ways.clear()
    if vendors := agent._vendors:
        for client in (vendors.marketing, *chain.from_iterable(vendors.senders.values())):
            client.close()
    agent._vendors = None


def created(customer: CustomerId, clinic_id: ClinicId = BERLIN) -> ContractCreated:
    return ContractCreated(
        clinic_id=clinic_id,
        contract_id=ContractId.new(),
        customer_id=customer,
        version=2,
        starts_on=date(2026, 3, 9),
        ends_on=date(2026, 9, 8),
        renewal_at=datetime(2026, 9, 7, tzinfo=UTC),
    )


def failed(customer: CustomerId, clinic_id: ClinicId = BERLIN) -> InvoicePaymentFailed:
    return InvoicePaymentFailed(
        clinic_id=clinic_id,
        invoice_id=InvoiceId.new(),
        customer_id=customer,
        version=1,
        amount=Money(amount=12345, currency="EUR"),
        attempt=1,
        decline=Decline.SOFT,
    )
