"""A short journey of a few customers with one-month terms, and all that is true after it."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pg8000.exceptions

from emulators.cloud import Options
from emulators.demo import journey
from emulators.demo.portal import Person
from emulators.demo.stage import (
    CLINIC_IDS,
    OPENING,
    ZONES,
    Player,
    Stage,
    clinic_bodies,
    plans,
)
from emulators.running import running
from emulators.seed import SeedCustomer
from emulators.seed import customers as seeded

RENEWAL = datetime(2026, 2, 3, 23, tzinfo=UTC)
"""The midnight in Berlin at which the terms of all who did not pause come due."""
_BUSINESS = ("contract.", "customer.", "invoice.paid", "invoice.payment_failed", "ticket.")


def person(number: int, price: str, card: str = "ok") -> SeedCustomer:
    """Somebody in Berlin; who has a number that five divides has a device."""
    template = seeded(1, 7)[0]
    return replace(
        template,
        id=f"cust-{number:05}",
        email=f"neighbour.{number}@example.com",
        phone=f"+491713920{number:03}",
        locale="de-DE",
        zone="Europe/Berlin",
        clinic=0,
        treatment="hair-loss",
        item_price_id=f"hair-loss-{price}-EUR",
        upfront=price == "6month",
        starts_after_days=0,
        card=card,
    )


NEIGHBOURS = (
    person(1, "monthly"),
    person(2, "6month"),
    person(3, "monthly", "soft_decline_twice"),
    person(5, "quarterly"),
)


@dataclass
class Street:
    """The neighbours on a running cloud."""

    stage: Stage

    @property
    def renewing(self) -> Player:
        return self.stage.players[0]

    @property
    def pausing(self) -> Player:
        return self.stage.players[3]

    def open(self) -> None:
        """One clinic whose terms last a month."""
        clinic_id, body = clinic_bodies()[0]
        portal = self.stage.portal
        operator = Person("operator@example.com", clinic_id)
        admin = Person("admin@example.com", clinic_id)
        portal.appoint(operator, "SUPER_ADMIN")
        portal.call(operator, "PUT", "", body)
        portal.appoint(admin, "CLINIC_ADMIN")
        for code, plan in plans():
            portal.call(admin, "PUT", f"/plans/{code}", plan | {"term_months": 1})

    def move_in(self, seed: SeedCustomer) -> Player:
        """Somebody signs up; their subscription begins in an hour."""
        today = self.stage.cloud.now.astimezone(ZONES[0]).date()
        player = Player(seed, Person(seed.email, CLINIC_IDS[0]), self.stage.cloud.now + OPENING)
        assert player.starts_on == today
        journey.sign_up(self.stage, player)
        self.stage.players.append(player)
        return player

    def ask(self, player: Player, method: str, path: str, body: Any = None) -> None:
        """Sign in anew and ask something of the portal."""
        self.stage.portal.sign_in(player.person)
        self.stage.portal.call(player.person, method, path, body)

    def about(self, player: Player, what: str) -> None:
        self.ask(player, "POST", f"/contracts/{player.contract_id}/{what}")

    def pass_until(self, day: float) -> None:
        self.stage.cloud.advance(journey.BEGINS + timedelta(days=day))
        self.stage.listen()

    def live(self, disturb: Callable[[], None]) -> None:
        """Five weeks. `disturb` is called where much is under way."""
        self.open()
        for seed in NEIGHBOURS:
            self.move_in(seed)
        disturb()
        self.pass_until(10)
        self.about(self.pausing, "pause")
        disturb()
        self.pass_until(12)
        self.ask(self.renewing, "PATCH", "/customers/me", {"phone": "+491713920099"})
        self.pass_until(15)
        self.about(self.pausing, "resume")
        self.stage.cloud.advance(RENEWAL - timedelta(hours=12))
        with ThreadPoolExecutor(1) as pool:
            passing = pool.submit(self.stage.cloud.advance, RENEWAL + timedelta(hours=12))
            disturb()
            passing.result()
        self.pass_until(37)

    def crash(self, *parts: str) -> None:
        """End parts abruptly and start them anew; look at the database by a new connection."""
        for part in parts:
            self.stage.cloud.restart(part)
        if "postgres" in parts and "_database" in vars(self.stage):
            with suppress(pg8000.exceptions.InterfaceError, OSError):
                self.stage._database.close()
            del self.stage._database


@contextmanager
def street(folder: Path, *, durable: bool = False) -> Iterator[Street]:
    """A street on a cloud of its own; only a `durable` database survives being killed."""
    options = Options(folder, throwaway=not durable, starts=journey.BEGINS, frozen=True)
    with running(options) as cloud:
        stage = Stage(cloud)
        try:
            yield Street(stage)
        finally:
            stage.close()


# What is true


def facts(stage: Stage) -> dict[str, Any]:
    """Everything that must not depend on what broke on the way; no ids, no times of day."""
    found: dict[str, Any] = {
        player.seed.email: of_player(stage, player) for player in stage.players
    }
    events = Counter(event["type"] for event in stage.told)
    return found | {
        "told": {kind: n for kind, n in sorted(events.items()) if kind.startswith(_BUSINESS)},
        "mails sent twice": sent_twice(stage),
        "invoices that differ": _differing(stage),
        "mirrors that differ": wrong_mirrors(stage),
        "left over": left_over(stage),
    }


def of_player(stage: Stage, player: Player) -> dict[str, Any]:
    """What became of somebody: here, and at every vendor."""
    customer = player.person.id
    subscription = stage.at_chargebee("subscription")[player.subscription_id]
    contracts = stage.rows(
        "SELECT id, status, starts_on, ends_on, predecessor_id IS NOT NULL AS follows "
        "FROM contracts.contracts WHERE customer_id = :id ORDER BY starts_on",
        id=customer,
    )
    links = {None: None} | {str(row["id"]): row["starts_on"] for row in contracts}
    return {
        "contracts": [
            (row["status"], row["starts_on"], row["ends_on"], row["follows"]) for row in contracts
        ],
        "at chargebee": (
            subscription["status"],
            links[subscription.get("cf_contract_id") or None],
            subscription["has_scheduled_changes"],
        ),
        "invoices": Counter(
            (one["status"], len(one["linked_payments"]))
            for one in stage.at_chargebee("invoice").values()
            if one["customer_id"] == customer
        ),
        "value": stage.rows(
            "SELECT amount, currency FROM customers.lifetime_values WHERE customer_id = :id",
            id=customer,
        ),
        "messages": Counter(
            (row["template"], row["channel"], row["status"])
            for row in stage.rows(
                "SELECT template, channel, status FROM notifications.messages "
                "WHERE customer_id = :id",
                id=customer,
            )
        ),
        "mails": Counter(one.subject for one in _sent(stage, "sendgrid", player.seed.email)),
        "texts": len(_sent(stage, "twilio", player.seed.phone)),
        "pushes": _shown(_sent(stage, "fcm", f"device-of-{player.seed.id}")),
        "support": _at_support(_sent(stage, "zendesk", player.seed.email)),
        "marketing": Counter(
            sent.subject for sent in stage.sent("iterable") if customer in str(sent)
        ),
    }


def _sent(stage: Stage, vendor: str, to: str) -> list[Any]:
    return [sent for sent in stage.sent(vendor) if sent.to == to]


def _shown(pushes: list[Any]) -> Counter[str]:
    """What the device shows: a message sent again replaces itself by its tag."""
    shown = {sent.body["data"]["message_id"]: sent.subject for sent in pushes}
    return Counter(shown.values())


def _at_support(sent: list[Any]) -> dict[str, int]:
    """Tickets and notes; saying again who somebody is changes nothing."""
    told = Counter(one.kind for one in sent)
    return told | {"user": min(told["user"], 1)}


def sent_twice(stage: Stage) -> list[str]:
    """Messages that went out more than once."""
    sent = Counter(one.body["custom_args"]["message"] for one in stage.sent("sendgrid"))
    return [message for message, times in sent.items() if times > 1]


def _differing(stage: Stage) -> list[str]:
    theirs = {
        one["id"]: (one["status"], one["total"], one["resource_version"])
        for one in stage.at_chargebee("invoice").values()
    }
    ours = {
        row["vendor_id"]: (row["status"], row["total"], row["resource_version"])
        for row in stage.rows("SELECT * FROM billing.invoices")
    }
    return [key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)]


def wrong_mirrors(stage: Stage) -> list[str]:
    """Documents that are not as Postgres has it."""
    wrong = []
    for table in ("contracts.contracts", "billing.invoices", "billing.subscriptions"):
        collection = table.partition(".")[2]
        rows = {
            str(row["id"]): (row["status"], row["version"])
            for row in stage.rows(f"SELECT id, status, version FROM {table}")
        }
        mirror = {
            key: (doc["status"], doc["version"]) for key, doc in stage.mirrored(collection).items()
        }
        keys = rows.keys() | mirror.keys()
        wrong += [f"{collection} {key}" for key in keys if rows.get(key) != mirror.get(key)]
    return wrong


def left_over(stage: Stage) -> dict[str, Any]:
    """What is not done: nothing, once all is well."""
    return {
        "unsent": stage.one("SELECT count(*) FROM platform.outbox WHERE sent_at IS NULL"),
        "parked": [
            f"{row['function']} {row['handler']}: {row['reason']}"
            for row in stage.rows("SELECT * FROM platform.dead_letters")
        ],
        "unclosed": stage.rows(
            "SELECT handler, state FROM platform.intents WHERE state NOT IN ('done', 'refused')"
        ),
    }
