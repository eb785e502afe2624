"""What the tests of contracts share: people with a subscription at a real Chargebee site."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from werkzeug.test import TestResponse

from shared.domains.contracts.model import RENEWAL_TIMER
from shared.integrations import vendor_call
from shared.kernel.ids import ContractId, CustomerId
from shared.kernel.tenancy import Role
from tests.conftest import BERLIN, House
from tests.functions.billing_site import MONTHLY, SIX_MONTHS, Site, site

__all__ = ["MONTHLY", "QUARTERLY", "SIX_MONTHS", "ZONE", "Deal", "Desk", "desk", "site"]

AGENT = "contract_agent"
QUARTERLY = "hair-loss-quarterly-EUR"
ZONE = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Deal:
    """Somebody's contract and the subscription it is about."""

    uid: str
    customer: CustomerId
    subscription: str
    contract: ContractId


@dataclass
class Desk:
    """The contract agent and the portal of the Berlin clinic, before a Chargebee site."""

    house: House
    site: Site
    _people: list[str] = field(default_factory=list)

    def sell(self) -> None:
        """The plans of the catalogue; a code is its item price."""
        admin = self.house.id_token("admin", Role.CLINIC_ADMIN, BERLIN)
        for price in (MONTHLY, QUARTERLY, SIX_MONTHS):
            plan = {
                "treatment": "hair-loss",
                "item_price_id": price,
                "monthly_item_price_id": MONTHLY,
                "upfront": price == SIX_MONTHS,
            }
            assert self.house.portal("PUT", f"/plans/{price}", admin, plan).status_code == 200

    @property
    def today(self) -> date:
        return self.house.cloud.now.astimezone(ZONE).date()

    def join(self) -> tuple[str, CustomerId]:
        """Somebody becomes a customer: their uid and id."""
        uid = f"person-{len(self._people)}"
        self._people.append(uid)
        body = {"given_name": "Ada", "family_name": "Example", "email": f"{uid}@example.com"}
        answer = self.house.portal("POST", "/customers", self.house.id_token(uid), body)
        assert answer.json is not None
        return uid, CustomerId(answer.json["id"])

    def request(
        self, uid: str, subscription: str, plan: str = MONTHLY, starts_in: int = 0
    ) -> ContractId:
        """Insert a contract that starts in so many days."""
        body = {
            "plan": plan,
            "subscription_id": subscription,
            "starts_on": str(self.today + timedelta(days=starts_in)),
        }
        answer = self.house.portal("POST", "/contracts", self.house.id_token(uid), body)
        assert answer.status_code == 201, answer.text
        assert answer.json is not None
        return ContractId(answer.json["id"])

    def deal(self, plan: str = MONTHLY, card: str = "ok", starts_in: int = 0) -> Deal:
        """A linked contract whose subscription runs, or will when the contract starts."""
        uid, customer = self.join()
        self.site.customer(card, customer_id=customer)
        price = {"item_price_id": plan}
        more: dict[str, Any] = {"start_date": self._start(starts_in)} if starts_in else {}
        subscription = self.site.subscribe(customer, subscription_items=[price], **more)
        self.house.cloud.advance(seconds=61)
        contract = self.request(uid, subscription, plan, starts_in)
        self.tell("contract.requested")
        return Deal(uid, customer, subscription, contract)

    def _start(self, days: int) -> int:
        day = self.today + timedelta(days=days)
        return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp())

    def ask(self, deal: Deal, what: str, body: Any = None, method: str = "POST") -> TestResponse:
        """What a customer asks of their contract in the portal."""
        path = f"/contracts/{deal.contract}/{what}"
        answer = self.house.portal(method, path, self.house.id_token(deal.uid), body)
        assert answer.status_code == 200, answer.text
        return answer

    def tell(self, kind: str) -> None:
        """Deliver all events of a type that there were; most of them for the second time."""
        assert {one.status_code for one in self.house.deliver_emitted(AGENT, kind)} <= {204}

    def row(self, contract: UUID) -> dict[str, Any]:
        return self.house.rows("SELECT * FROM contracts.contracts WHERE id = :id", id=contract)[0]

    def status(self, contract: UUID) -> str:
        return str(self.row(contract)["status"])

    def successors(self, contract: UUID) -> list[dict[str, Any]]:
        query = "SELECT * FROM contracts.contracts WHERE predecessor_id = :id"
        return self.house.rows(query, id=contract)

    def renewal(self, contract: UUID) -> dict[str, Any]:
        """The renewal's timer."""
        return self.house.timer(RENEWAL_TIMER, contract)

    def fire(self, timer: dict[str, Any]) -> None:
        assert self.house.fire(AGENT, timer).status_code == 204

    def reach(self, instant: datetime) -> None:
        """Let time pass at the provider until an instant."""
        self.house.cloud.advance(instant)

    def end_term(self, deal: Deal) -> None:
        """The renewal comes due and its task comes."""
        timer = self.renewal(deal.contract)
        self.reach(timer["due_at"])
        self.fire(timer)

    def held(self, deal: Deal) -> dict[str, Any]:
        """The subscription as Chargebee has it."""
        found = self.site.sdk.Subscription.retrieve(deal.subscription)
        raw: dict[str, Any] = found.subscription.raw_data
        return raw

    def price(self, deal: Deal) -> str:
        return str(self.held(deal)["subscription_items"][0]["item_price_id"])

    def coming_price(self, deal: Deal) -> str:
        """The price that Chargebee changes to when the paid term ends."""
        found = self.site.sdk.Subscription.retrieve_with_scheduled_changes(deal.subscription)
        return str(found.subscription.raw_data["subscription_items"][0]["item_price_id"])

    def emitted(self, kind: str, contract: UUID) -> list[dict[str, Any]]:
        return [e for e in self.house.emitted(kind) if e["contract_id"] == str(contract)]


@pytest.fixture
def desk(house: House, site: Site) -> Iterator[Desk]:
    """A clinic that sells, and its billing provider."""
    vendor_call._ways.clear()
    made = Desk(house, site)
    made.sell()
    yield made
    house.cloud.heal()
