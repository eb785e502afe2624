"""All that the console shows, gathered from the engines, the database and the wiring."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from emulators.clock import from_micros
from emulators.cloud import LocalCloud
from emulators.console.mirrors import Mirrors
from emulators.console.tables import Tables
from emulators.faults import LATE
from emulators.parts import ENGINES

if TYPE_CHECKING:
    from emulators.pubsub import Delivery

log = logging.getLogger(__name__)
Row = dict[str, Any]
_MOST_EVENTS = 300


class State:
    """Gathers the state; a part that fails to describe itself is left out."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._tables: Tables | None = None
        self._mirrors: Mirrors | None = None
        self._moves = 0

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Show that time is being moved, for the length of the block."""
        self._moves += 1
        try:
            yield
        finally:
            self._moves -= 1

    async def close(self) -> None:
        if self._tables is not None:
            await self._tables.close()
        if self._mirrors is not None:
            await self._mirrors.close()

    async def collect(self) -> Row:
        """One JSON-ready snapshot. Instants are ISO 8601 in UTC and virtual."""
        described = {name: self._described(name) for name in self._cloud.engines}
        rows = await self._rows()
        return {
            "clock": self._clock(),
            "engines": self._engines(),
            "functions": self._functions(),
            "events": _events(rows.get("outbox", []), self._deliveries()),
            "inboxes": _inboxes(described),
            "mirrors": await self._documents(described.get("firestore", {})),
            "timers": rows.get("timers", []),
            "tasks": _tasks(described.get("tasks", {})),
            "dead_letters": rows.get("dead_letters", []),
            "jobs": described.get("scheduler", {}).get("jobs", []),
            "accounts": described.get("identity", {}).get("accounts", []),
            "faults": self.faults(),
        }

    def faults(self) -> list[Row]:
        """The faults in force."""
        return [
            {
                "target": fault.target,
                "kind": fault.kind.value,
                "share": fault.share,
                "until": fault.until.isoformat() if fault.until else None,
                "count": fault.count,
                "path": fault.path,
                "late": fault.late if fault.kind in LATE else None,
            }
            for fault in self._cloud.ground.faults.in_force()
        ]

    def _described(self, name: str) -> Row:
        try:
            return self._cloud.engines[name].describe()
        except Exception:
            log.exception("%s could not describe itself", name)
            return {}

    async def _rows(self) -> dict[str, list[Row]]:
        tables = self._opened()
        return await tables.read() if tables is not None else {}

    def _opened(self) -> Tables | None:
        if self._tables is None and self._cloud.admin_url and self._cloud.options.product:
            self._tables = Tables(self._cloud.admin_url)
        return self._tables

    async def dead_letter_function(self, letter: UUID) -> str | None:
        """Which function could not handle a parked message; None when there is none such."""
        tables = self._opened()
        return await tables.dead_letter_function(letter) if tables is not None else None

    async def _documents(self, described: Row) -> list[Row]:
        address = self._cloud.environment.get("FIRESTORE_EMULATOR_HOST")
        if self._mirrors is None and address:
            self._mirrors = Mirrors(address, self._cloud.options.project)
        return await self._mirrors.read(described) if self._mirrors is not None else []

    def _clock(self) -> Row:
        agenda = self._cloud.ground.agenda
        return {
            "now": agenda.clock.now().isoformat(),
            "frozen": agenda.clock.frozen,
            "moving": self._moves > 0,
            "under_way": agenda.under_way,
            "upcoming": [
                {"when": entry.when.isoformat(), "name": entry.name}
                for entry in agenda.upcoming(20)
            ],
        }

    def _engines(self) -> list[Row]:
        cloud = self._cloud
        children = {"postgres": cloud.postgres, "host": cloud.host}
        parts = [
            {"name": name, "port": child.port, "running": child.running}
            for name, child in children.items()
            if child is not None
        ]
        return parts + [
            {"name": name, "port": cloud.ports[name], "running": True}
            for name in ENGINES
            if name in cloud.engines
        ]

    def _functions(self) -> list[Row]:
        """Clinicloop's functions, where they are what the cloud runs for."""
        wiring = self._cloud.wiring
        if not self._cloud.options.product:
            return []
        return [
            {
                "name": name,
                "kind": function.kind,
                "subscriptions": [
                    {"name": key, "topic": part.topic, "filter": part.filter}
                    for key, part in wiring.subscriptions.items()
                    if part.function == name
                ],
                "jobs": [key for key, part in wiring.jobs.items() if part.function == name],
            }
            for name, function in wiring.functions.items()
        ]

    def _deliveries(self) -> "list[Delivery]":
        from emulators.pubsub import PubSub

        engine = self._cloud.engines.get("pubsub")
        return engine.deliveries() if isinstance(engine, PubSub) else []


def _events(outbox: list[Row], deliveries: "list[Delivery]") -> list[Row]:
    """Events newest first: the outbox's rows, and what was delivered but is no longer there."""
    ways: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        ways[delivery.attributes.get("ce-id") or delivery.message_id].append(delivery)
    events = [_from_outbox(row) for row in outbox]
    known = {event["id"] for event in events}
    events += [_from_delivery(key, way[0]) for key, way in ways.items() if key not in known]
    events.sort(key=lambda event: event["created_at"], reverse=True)
    events = events[:_MOST_EVENTS]
    caused: dict[str, list[str]] = defaultdict(list)
    for event in reversed(events):
        caused[event["causation_id"]].append(event["id"])
    for event in events:
        event["deliveries"] = [_step(delivery) for delivery in ways.get(event["id"], [])]
        event["caused"] = caused.get(event["id"], [])
    return events


def _from_outbox(row: Row) -> Row:
    attributes = row.get("attributes") or {}
    return _event(attributes, row["id"]) | {
        "type": row["type"],
        "topic": row["topic"],
        "subject": row["ordering_key"],
        "clinic": row["clinic_id"],
        "payload": row["payload"],
        "created_at": row["created_at"],
        "sent_at": row["sent_at"],
    }


def _from_delivery(key: str, delivery: "Delivery") -> Row:
    published = delivery.publish_time.isoformat()
    return _event(delivery.attributes, key) | {
        "topic": delivery.topic.rpartition("/")[2],
        "created_at": published,
        "sent_at": published,
    }


def _event(attributes: Row, key: str) -> Row:
    return {
        "id": str(key),
        "type": attributes.get("ce-type", ""),
        "subject": attributes.get("ce-subject", ""),
        "clinic": attributes.get("clinicid"),
        "correlation_id": attributes.get("correlationid", ""),
        "causation_id": attributes.get("causationid", ""),
        "payload": None,
    }


def _step(delivery: "Delivery") -> Row:
    return {
        "subscription": delivery.subscription.rpartition("/")[2],
        "at": delivery.delivered_at.isoformat(),
        "attempt": delivery.attempt,
        "outcome": delivery.outcome.value,
        "status": delivery.status,
        "milliseconds": delivery.milliseconds,
    }


def _inboxes(described: dict[str, Row]) -> list[Row]:
    """What every vendor was told, and the webhooks of the billing provider, newest first."""
    sent = [row for state in described.values() for row in state.get("inbox", [])]
    sent += [_webhook(event) for event in described.get("chargebee", {}).get("events", [])]
    return sorted(sent, key=lambda row: str(row.get("at", "")), reverse=True)


def _webhook(event: Row) -> Row:
    return {
        "id": event["id"],
        "vendor": "chargebee",
        "kind": event["event_type"],
        "to": "webhook",
        "subject": event["subject"],
        "at": from_micros(int(event["occurred_at"]) * 1_000_000).isoformat(),
        "body": event,
    }


def _tasks(state: Row) -> list[Row]:
    """Pending tasks of all queues."""
    return [
        task | {"queue": queue["name"].rpartition("/")[2]}
        for queue in state.get("queues", [])
        for task in queue["pending"]
    ]
