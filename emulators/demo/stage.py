"""Where the demo plays: the cloud, its people, and what can be read off it from outside."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pg8000.native
from dateutil.relativedelta import relativedelta
from sqlalchemy.engine import make_url

from emulators.demo.checkout import Checkout
from emulators.demo.portal import Person, Portal
from emulators.running import RunningCloud
from emulators.seed import CLINICS, TREATMENTS, SeedCustomer

ZONES = (ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"))
CLINIC_IDS = ("0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002")
OPENING = timedelta(hours=1)
"""A subscription that is bought for today begins an hour later."""


@dataclass
class Player:
    """One customer: what the seed says of them, and what came of it."""

    seed: SeedCustomer
    person: Person
    starts_at: datetime
    contract_id: str = ""
    subscription_id: str = ""
    pauses_at: datetime | None = None
    resumes_at: datetime | None = None
    special: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return ZONES[self.seed.clinic]

    @property
    def starts_on(self) -> Any:
        return self.starts_at.astimezone(self.zone).date()

    @property
    def ends_on(self) -> Any:
        """The first day after the term: six months, and as many days as it stood still."""
        end = self.starts_on + relativedelta(months=6)
        if self.pauses_at is not None and self.resumes_at is not None:
            end += self._day(self.resumes_at) - self._day(self.pauses_at)
        return end

    @property
    def renewal_at(self) -> datetime:
        day = self.ends_on - timedelta(days=1)
        return datetime(day.year, day.month, day.day, tzinfo=self.zone)

    def _day(self, instant: datetime) -> Any:
        return instant.astimezone(self.zone).date()

    @property
    def cancels(self) -> bool:
        return self.seed.cancels_month is not None or self.special == "stale"

    @property
    def may_pause(self) -> bool:
        """Resuming takes a payment: those whose card is declined would stay paused."""
        return self.seed.card == "ok"

    def expected(self, at: datetime) -> str:
        """The status that the rules of A9 give the first contract at an instant."""
        if self.cancels:
            return "cancelled"
        if self.pauses_at is not None and self.resumes_at is None:
            return "paused"
        if at < self.renewal_at:
            return "active"
        return "completed" if self.seed.upfront else "renewed"


@dataclass
class Stage:
    """The running cloud with everything the demo needs of it."""

    cloud: RunningCloud
    players: list[Player] = field(default_factory=list)
    marks: dict[str, Any] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    """All events so far, oldest first; the weekly clean-up removes old ones from the outbox."""

    @cached_property
    def portal(self) -> Portal:
        return Portal(self.cloud.env, self.cloud.url)

    @cached_property
    def checkout(self) -> Checkout:
        return Checkout(self.cloud.env)

    @cached_property
    def _database(self) -> pg8000.native.Connection:
        return connect(self.cloud.admin_url)

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows as the database's owner sees them."""
        found = self._database.run(query, **parameters) or []
        names = [column["name"] for column in self._database.columns or []]
        return [dict(zip(names, row, strict=True)) for row in found]

    def one(self, query: str, **parameters: Any) -> Any:
        """The only value of the only row."""
        return self._database.run(query, **parameters)[0][0]

    def listen(self) -> None:
        """Take note of the events since the last time."""
        seen = self.told[-1]["seq"] if self.told else 0
        self.told += self.rows(
            "SELECT seq, id, topic, ordering_key AS subject, type, created_at, "
            "payload::jsonb AS payload "
            "FROM platform.outbox WHERE seq > :seen ORDER BY seq",
            seen=seen,
        )

    def counted(self, kind: str) -> int:
        """How many events of a type there were."""
        return sum(event["type"] == kind for event in self.told)

    def at_chargebee(self, kind: str) -> dict[str, dict[str, Any]]:
        """All objects of a kind at Chargebee, by id."""
        tables: dict[str, dict[str, Any]] = self._engine("chargebee").objects(kind)
        return dict(tables)

    def delivered(self) -> set[tuple[str, str]]:
        """Which subscriptions acknowledged which events, by their names and ids."""
        return {
            (delivery.subscription, delivery.attributes.get("ce-id", ""))
            for delivery in self._engine("pubsub").deliveries()
            if delivery.outcome == "acked"
        }

    def sent(self, vendor: str) -> list[Any]:
        """Everything a vendor was told, oldest first."""
        return list(reversed(self._engine(vendor).inbox.newest()))

    def mirrored(self, collection: str) -> dict[str, dict[str, Any]]:
        """The documents of a mirror collection, by id."""
        found = self._engine("firestore").documents(f"{collection}/")
        return {path.rpartition("/")[2]: fields for path, fields, _ in found}

    def _engine(self, name: str) -> Any:
        return self.cloud.cloud.engines[name]

    def close(self) -> None:
        self.portal.close()
        self.checkout.close()
        self._database.close()


def connect(database_url: str) -> pg8000.native.Connection:
    """A new connection to a database, as the login in its URL."""
    url = make_url(database_url)
    return pg8000.native.Connection(
        url.username or "",
        password=url.password,
        host=url.host or "",
        port=url.port or 0,
        database=url.database,
    )


def plans() -> list[tuple[str, dict[str, Any]]]:
    """What the clinics sell, as bodies of PUT /plans/<code>; the code is the item price."""
    found = []
    for one in TREATMENTS:
        prices = (one.monthly_price_id, one.quarterly_price_id, one.upfront_price_id)
        for price in prices:
            if price is not None:
                body = {
                    "treatment": one.id,
                    "item_price_id": price,
                    "monthly_item_price_id": one.monthly_price_id,
                    "upfront": price == one.upfront_price_id,
                }
                found.append((price, body))
    return found


def clinic_bodies() -> list[tuple[str, dict[str, str]]]:
    """The clinics, as bodies of PUT /v1/clinics/<id>."""
    return [
        (clinic_id, {"name": name, "time_zone": zone.key})
        for clinic_id, name, zone in zip(CLINIC_IDS, CLINICS, ZONES, strict=True)
    ]
