"""What the tests of billing share: a Chargebee site of their own, spoken to by the official SDK."""

import base64
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import chargebee
import pytest
from chargebee.main import Chargebee as Sdk
from werkzeug.test import TestResponse

from emulators.vendors.chargebee import Chargebee
from shared.kernel.ids import ClinicId, CustomerId
from tests.conftest import BERLIN, House

MONTHLY = "hair-loss-monthly-EUR"
SIX_MONTHS = "hair-loss-6month-EUR"


@dataclass
class Site:
    """Chargebee as the clinic's staff sees it; nothing here goes through the product."""

    house: House
    sdk: Sdk

    def customer(
        self,
        card: str = "ok",
        clinic_id: ClinicId | None = BERLIN,
        customer_id: CustomerId | None = None,
    ) -> CustomerId:
        customer_id = customer_id or CustomerId.new()
        fields = {"id": str(customer_id), "first_name": "Ada", "cf_test_card": card}
        if clinic_id is not None:
            fields["cf_clinic_id"] = str(clinic_id)
        self.sdk.Customer.create(fields)
        return customer_id

    def subscribe(
        self, customer_id: CustomerId, clinic_id: ClinicId | None = BERLIN, **more: Any
    ) -> str:
        """A subscription that begins in a moment, so that a declined card does not prevent it."""
        fields: dict[str, Any] = {"subscription_items": [{"item_price_id": MONTHLY}], **more}
        fields.setdefault("start_date", int(self.now.timestamp()) + 60)
        if clinic_id is not None:
            fields["cf_clinic_id"] = str(clinic_id)
        made = self.sdk.Subscription.create_with_items(str(customer_id), fields)
        return str(made.subscription.id)

    @property
    def now(self) -> datetime:
        return self.house.cloud.now

    def card(self, customer_id: CustomerId, card: str) -> None:
        self.sdk.Customer.update(str(customer_id), {"cf_test_card": card})

    def invoice(self, subscription_id: str) -> dict[str, Any]:
        """The newest invoice of a subscription."""
        found = self.sdk.Invoice.list(
            {"subscription_id": {"is": subscription_id}, "sort_by": {"desc": "date"}}
        )
        raw: dict[str, Any] = found.list[0].invoice.raw_data
        return raw

    def begin(self, customer_id: CustomerId, **more: Any) -> dict[str, Any]:
        """A subscription that has begun: its first invoice, with the first attempt made."""
        subscription_id = self.subscribe(customer_id, **more)
        self.house.cloud.advance(seconds=61)
        return self.invoice(subscription_id)

    def notices(self) -> list[dict[str, Any]]:
        """The site's events as webhooks carry them, oldest first."""
        events: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            page = self.sdk.Event.list({"limit": 100, "sort_by": {"asc": "occurred_at"}, **more})
            events += [row.event.raw_data for row in page.list]
            if not page.next_offset:
                break
            more = {"offset": page.next_offset}
        return events

    def send(self, notice: dict[str, Any], password: str | None = None) -> TestResponse:
        """Post an event to our webhook as Chargebee does."""
        user = os.environ["CHARGEBEE_WEBHOOK_USER"]
        secret = password or os.environ["CHARGEBEE_WEBHOOK_PASSWORD"]
        token = base64.b64encode(f"{user}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        client = self.house.client("webhooks")
        return client.post("/chargebee", data=json.dumps(notice), headers=headers)

    def bring(self, notices: Iterable[dict[str, Any]]) -> list[TestResponse]:
        """Send events, and hand each stored webhook to the billing agent."""
        for notice in notices:
            assert self.send(notice).status_code == 204
        return self.house.deliver_emitted("billing_agent", "chargebee_webhook.received")

    def sync(self) -> TestResponse:
        """The cron of the minute."""
        answer = self.house.cron("billing_agent", "chargebee_sync")
        assert answer.status_code == 204
        return answer

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.house.rows(f"SELECT * FROM billing.{table} ORDER BY vendor_id")

    def parked(self) -> list[str]:
        """Why messages were parked."""
        found = self.house.rows("SELECT reason FROM platform.dead_letters ORDER BY created_at")
        return [row["reason"] for row in found]


@pytest.fixture
def site(house: House) -> Iterator[Site]:
    """An empty Chargebee site that sends no webhooks by itself."""
    ground = house.cloud.cloud.ground
    kept = ground.settings.pop("webhooks", None)

    async def empty() -> None:
        engine = house.cloud.cloud.engines["chargebee"]
        assert isinstance(engine, Chargebee)
        engine._billing.stop()
        for kind in ("customer", "subscription", "invoice", "transaction", "event"):
            engine._site.tables[kind].clear()
        engine._site.invoices_of.clear()
        engine._answers.clear()

    house.cloud.run(empty())
    Sdk.verify_ca_certs = False
    address = house.cloud.env["CHARGEBEE_URL"].removeprefix("http://127.")
    sdk = chargebee.Chargebee(
        api_key=house.cloud.env["CHARGEBEE_API_KEY"],
        site="127",
        chargebee_domain=address,
        protocol="http",
    )
    yield Site(house, sdk)
    if kept is not None:
        ground.settings["webhooks"] = kept
